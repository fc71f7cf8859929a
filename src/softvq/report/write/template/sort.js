"use strict";
// A click on a column's name sorts its table, a second click the other way round; empty cells stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const head = table.tHead.rows[table.tHead.rows.length - 1];
  const body = table.tBodies[0];
  const original = Array.from(body.rows);
  for (const header of head.cells) {
    if (!header.textContent.trim()) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const descending = header.getAttribute("aria-sort") === "ascending";
      for (const other of head.cells) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const column = header.cellIndex;
      const key = (row) => {
        const cell = row.cells[column];
        const text = cell.dataset.sort === undefined ? cell.textContent.trim() : cell.dataset.sort;
        return text === "" || text === "—" ? null : text;
      };
      const numeric = original.every((row) => key(row) === null || Number.isFinite(Number(key(row))));
      const compare = (a, b) => (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
      const sorted = original.slice().sort((left, right) => {
        const a = key(left), b = key(right);
        if (a === null || b === null) return (a === null) - (b === null);
        return descending ? compare(b, a) : compare(a, b);
      });
      body.append(...sorted);
    });
  }
}
// A link to a row inside something folded unfolds it first.
const unfold = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();
