"""The report's tables in Markdown."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from softvq.report.write.layout import METRIC_NAMES, SYMBOLS, data_name, row_name, shown
from softvq.report.write.words import READING, outcome_detail

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


def escape(text: Any) -> str:
    """Text that Markdown shows as it is, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def code(text: Any) -> str:
    """Text in a code span, also inside a table."""
    plain = " ".join(str(text).split()).replace("|", "¦").replace("`", "\N{MODIFIER LETTER GRAVE ACCENT}")
    return f"`{plain}`" if plain else ""


def markdown(content: dict[str, Any]) -> str:
    """tables.md."""
    parts = ["# Results beside the paper's", escape(content["paper"]) + ".", *READING]
    for grid in content["grids"]:
        parts += _grid(grid)
    if content["equal_distortion"]:
        parts.append("## Equal distortion")
        for band in content["equal_distortion"]:
            parts += _band(band)
    for key, title in (("failed", "Failed runs"), ("incomplete", "Incomplete runs"), ("damaged", "Damaged folders")):
        if content[key]:
            rows = [[code(r["folder"]), escape(r["cell"]), escape(r["reason"])] for r in content[key]]
            parts += [f"## {title}", _table(["Folder", "Cell", "Why"], rows)]
    parts += ["## Runs", _runs(content["runs"])]
    return "\n\n".join(parts) + "\n"


def _grid(grid: dict[str, Any]) -> Iterable[str]:
    yield f"## {'Paper and protocol: ' if grid['main'] else 'Other settings: '}{code(grid['setting']['title'])}"
    for departure in grid["setting"]["departures"]:
        yield f"{code(departure['key'])} is {code(departure['value'])}, by default {code(departure['default'])}."
    for table in grid["tables"]:
        yield f"### {escape(table['title'])}"
        yield escape(table["caption"])
        yield _paper_table(table)
    cells = [cell for table in grid["tables"] for row in table["rows"] for cell in row["cells"] if cell["n"]]
    if cells:
        yield "### Every number"
        yield _numbers(cells)
    if grid["variants"]:
        yield "### Variants"
        yield _numbers(grid["variants"], variants=True)
    if grid["main"] or any(claim["outcome"] not in ("not run", "by eye") for claim in grid["claims"]):
        yield "### Claims"
        yield _claims(grid["claims"])


def _paper_table(table: dict[str, Any]) -> str:
    several = len(table["data"]) > 1
    head = ["Model"]
    for data in table["data"]:
        for metric in data["metrics"]:
            name = f"{data['title']} {METRIC_NAMES[metric]}" if several else METRIC_NAMES[metric]
            head += [escape(name), "paper", "verdict"]
    rows = []
    for row in table["rows"]:
        line = [escape(row["title"])]
        for data, cell in zip(table["data"], row["cells"], strict=True):
            for metric in data["metrics"]:
                line += _beside(cell["metrics"][metric], metric)
        rows.append(line)
    return _table(head, rows, right=range(1, len(head)))


def _beside(found: dict[str, Any], metric: str) -> list[str]:
    paper = shown(found["paper"], metric)
    if found["mean"] is None:
        return ["—", paper, "not run"]
    spread = f" ± {shown(found['std'], metric)}" if found["std"] is not None else ""
    difference = "" if found["difference"] is None else f" {shown(found['difference'], metric, signed=True)}"
    verdict = f"{SYMBOLS[found['verdict']]} {found['verdict']}{difference}" if found["verdict"] else ""
    return [f"{shown(found['mean'], metric)}{spread} (n = {found['n']})", paper, verdict]


def _numbers(cells: Sequence[dict[str, Any]], variants: bool = False) -> str:
    head = ["Data", "Model", *(["Settings"] if variants else []), "Column", "n", "Mean", "Std", "95 % interval"]
    head += ["Paper", "Difference", "Verdict", "Runs"]
    rows = []
    for cell in cells:
        settings = ", ".join(f"{d['key']} = {d['value']}" for d in cell["settings"]) or "default; " + "; ".join(
            cell["notes"]
        )
        for metric, found in cell["metrics"].items():
            interval = found["interval"]
            rows.append(
                [
                    escape(data_name(cell["data"])),
                    escape(row_name(cell["model"])),
                    *([code(settings)] if variants else []),
                    METRIC_NAMES[metric],
                    str(found["n"]),
                    shown(found["mean"], metric),
                    shown(found["std"], metric),
                    f"{shown(interval[0], metric)} to {shown(interval[1], metric)}" if interval else "—",
                    shown(found["paper"], metric),
                    shown(found["difference"], metric, signed=True),
                    found["verdict"] or "—",
                    ", ".join(code(run["folder"]) for run in cell["runs"]),
                ]
            )
    start = 4 if variants else 3
    return _table(head, rows, right=range(start, start + 6))


def _claims(claims: Sequence[dict[str, Any]]) -> str:
    rows = [
        [
            escape(claim["title"]),
            f"“{escape(claim['quote'])}” ({escape(claim['where'])})",
            escape(claim["reading"]),
            f"**{claim['outcome']}**",
            escape(outcome_detail(claim)),
        ]
        for claim in claims
    ]
    return _table(["Claim", "In the paper", "As tested", "Outcome", "Numbers"], rows)


def _band(band: dict[str, Any]) -> Iterable[str]:
    mse = "test_normalized_mse"
    yield (
        f"### {escape(data_name(band['data']))}, {code(band['setting'])}: normalized test MSE "
        f"from {shown(band['low'], mse)} to {shown(band['high'], mse)}"
    )
    columns = ("clustering_accuracy", "clustering_nmi", "classification_accuracy")
    rows = []
    for model in band["models"]:
        cell = model["cell"]
        settings = code(", ".join(f"{d['key']} = {d['value']}" for d in cell["settings"]) or "default")
        if model["inside"]:
            values = [shown(cell["metrics"][c]["mean"], c) for c in columns]
            rows.append([escape(model["title"]), settings, shown(model["mse"], mse), *values, str(cell["n"])])
        else:
            rows.append(
                [escape(model["title"]), settings, f"none in the band; nearest {shown(model['mse'], mse)}", *["—"] * 4]
            )
    rows += [[escape(row_name(model)), "", "not run", *["—"] * 4] for model in band["missing"]]
    yield _table(["Model", "Settings", "MSE", *(METRIC_NAMES[c] for c in columns), "n"], rows, right=range(2, 7))


def _runs(runs: Sequence[dict[str, Any]]) -> str:
    head = ["Folder", "Seed", "Steps", "Clustering", "NMI", "Classification", "Configuration", "Commit", "Data sha256"]
    rows = [
        [code(run["folder"]), str(run["seed"]), str(run["steps"])]
        + [shown(run["values"][m], m) for m in ("clustering_accuracy", "clustering_nmi", "classification_accuracy")]
        + [code(run["config_hash"]), code(run["commit"] or "unknown"), code(run["data_sha256"])]
        for run in runs
    ]
    return _table(head, rows, right=range(1, 6)) if rows else "None."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    numeric = set(right)
    rule = ["---:" if i in numeric else "---" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows))
