"""The paper's tables in LaTeX, ours beside the paper's."""

from typing import Any

from softvq.report.write.layout import METRIC_NAMES, MINUS, shown

ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "β": r"$\beta$",
    MINUS: r"$-$",
    "±": r"$\pm$",
    "—": "---",
}
MARKS = {"match": "=", "above": r"\uparrow", "below": r"\downarrow", "too few seeds": "?"}
KEY = (
    r"Mean and standard deviation over seeds beside the paper's number; $=$ match, $\uparrow$ above, "
    r"$\downarrow$ below the paper, ? too few seeds for a verdict."
)


def escape(text: Any) -> str:
    """Text that LaTeX sets as it is, on one line."""
    return "".join(ESCAPES.get(character, character) for character in " ".join(str(text).split()))


def latex(content: dict[str, Any]) -> str:
    """tables.tex: one table environment for each of the paper's tables and each setting; needs the package booktabs."""
    tables = [
        _table(table, grid["setting"]["title"], f"{table['key'] or f'data-{i}'}-{grid['id']}".replace("_", "-"))
        for grid in content["grids"]
        for i, table in enumerate(grid["tables"])
    ]
    return "\n".join(["% needs \\usepackage{booktabs}; UTF-8", *tables])


def _table(table: dict[str, Any], setting: str, name: str) -> str:
    columns = [(data, metric) for data in table["data"] for metric in data["metrics"]]
    groups = [rf"\multicolumn{{{2 * len(d['metrics'])}}}{{c}}{{{escape(d['title'])}}}" for d in table["data"]]
    metrics = [rf"\multicolumn{{2}}{{c}}{{{escape(METRIC_NAMES[metric])}}}" for _, metric in columns]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table['title'])}. {escape(table['caption'])} {escape(setting)}. {KEY}}}",
        rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{l{'rr' * len(columns)}}}",
        r"\toprule",
        rf" & {' & '.join(groups)} \\",
        rf" & {' & '.join(metrics)} \\",
        rf"Model & {' & '.join(['ours & paper'] * len(columns))} \\",
        r"\midrule",
    ]
    for row in table["rows"]:
        line = [escape(row["title"])]
        for data, cell in zip(table["data"], row["cells"], strict=True):
            for metric in data["metrics"]:
                line += [
                    _ours(cell["metrics"][metric], metric),
                    escape(shown(cell["metrics"][metric]["paper"], metric)),
                ]
        lines.append(rf"{' & '.join(line)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _ours(found: dict[str, Any], metric: str) -> str:
    if found["mean"] is None:
        return "not run"
    spread = rf" $\pm$ {shown(found['std'], metric)}" if found["std"] is not None else ""
    mark = f"$^{{{MARKS[found['verdict']]}}}$" if found["verdict"] in MARKS else ""
    return f"{shown(found['mean'], metric)}{spread}{mark}"
