"""report.html: one file that asks for nothing from elsewhere."""

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from softvq.report.read.collect import Run
from softvq.report.write.layout import METRIC_NAMES, SYMBOLS, data_name, data_order, row_name, shown
from softvq.report.write.pictures import KINDS, Picture, embedded, ordered
from softvq.report.write.words import MEASURED, PROTOCOL, TESTS, VERDICTS, amount, outcome_detail, probability

OUTCOME_SYMBOLS = {
    **SYMBOLS,
    "supported": "✓",
    "contradicted": "✗",
    "undecided": "~",
    "by eye": "◉",
}
MOST_PICTURES = 120


def page(
    content: dict[str, Any], runs: Sequence[Run], out: Path, linked: Sequence[Path], panels: Sequence[dict[str, Any]]
) -> str:
    """The whole page.

    Args:
        content: what the report says.
        runs: the finished runs, for their pictures and folders.
        out: the folder of the page, from which links to run folders start.
        linked: links are made to folders below these alone, so that a page elsewhere does not show where it was made.
        panels: the pictures of Figure 4: title, picture and caption each.
    """
    template_files = files("softvq.report.write") / "template"
    style, script = (template_files.joinpath(name).read_text("utf-8") for name in ("style.css", "sort.js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        shown=shown,
        amount=amount,
        detail=outcome_detail,
        probability=probability,
        metric=lambda name: METRIC_NAMES[name],
        data_name=data_name,
        row_name=row_name,
        symbol=lambda outcome: OUTCOME_SYMBOLS.get(outcome, ""),
        slug=lambda text: text.replace(" ", "-"),
        paragraph=lambda text: text.split(". ", 1),
    )
    by_folder = {run.folder: run for run in runs}
    grids, left_out = _with_pictures(content["grids"], by_folder)
    return environment.from_string(template_files.joinpath("report.html.j2").read_text("utf-8")).render(
        content=content,
        grids=grids,
        left_out=left_out,
        panels=panels,
        links=_links(runs, out, linked),
        times={run.folder: run.time for run in runs},
        counts=_counts(content["grids"][0]),
        reading=(MEASURED, PROTOCOL, VERDICTS),
        tests=TESTS,
        style=style,
        script=script,
        style_hash=_sha256(style),
        script_hash=_sha256(script),
    )


def _links(runs: Sequence[Run], out: Path, linked: Sequence[Path]) -> dict[str, str]:
    found = {}
    start = out.resolve()
    for run in runs:
        path = run.path.resolve()
        if any(path.is_relative_to(root.resolve()) and start.is_relative_to(root.resolve().parent) for root in linked):
            found[run.folder] = "./" + quote(os.fsencode(os.path.relpath(path, start)))
    return found


def _with_pictures(
    grids: Sequence[dict[str, Any]], runs: Mapping[str, Run]
) -> tuple[list[tuple[dict[str, Any], list[dict[str, Any]]]], int]:
    """Each grid with the pictures of every cell's lowest seed, and how many pictures did not fit."""
    total, found = 0, []
    for grid in grids:
        pictures = []
        for cell in (cell for table in grid["tables"] for row in table["rows"] for cell in row["cells"] if cell["n"]):
            run = runs[cell["runs"][0]["folder"]]
            for path in ordered(run.figures):
                total += 1
                if total <= MOST_PICTURES:
                    pictures.append(_picture(run, path, embedded(path)))
        found.append((grid, sorted(pictures, key=lambda picture: picture["kind"])))  # models side by side
    return found, max(0, total - MOST_PICTURES)


def _picture(run: Run, path: Path, picture: Picture | None) -> dict[str, Any]:
    what = KINDS.get(path.stem, path.stem.replace("_", " "))
    title = f"{row_name(run.bottleneck)} on {data_name(run.data)}, seed {run.seed}"
    return {
        "order": data_order(run.data),
        "kind": list(KINDS).index(path.stem) if path.stem in KINDS else len(KINDS),
        "data": run.data,
        "picture": picture,
        "title": title,
        "what": what,
        "folder": run.folder,
        "file": path.name,
    }


def _counts(grid: dict[str, Any]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """How often each verdict and each outcome occurs in the paper's own setting."""
    verdicts = Counter(
        cell["metrics"][metric]["verdict"]
        for table in grid["tables"]
        for row in table["rows"]
        for data, cell in zip(table["data"], row["cells"], strict=True)
        for metric in data["metrics"]
        if cell["metrics"][metric]["paper"] is not None
    )
    outcomes = Counter(claim["outcome"] for claim in grid["claims"])
    return (
        [(name, verdicts[name]) for name in SYMBOLS if verdicts[name]],
        [
            (name, outcomes[name])
            for name in ("supported", "contradicted", "undecided", *SYMBOLS, "by eye")
            if outcomes[name]
        ],
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
