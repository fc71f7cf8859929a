"""The report's tables in Markdown."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from softvq.published import MSE, NUMBERS, PROBE_METRICS, data_name, label, row_name, shown
from softvq.report.write.explanations import DISTORTION, READING, SPREAD, TESTS
from softvq.report.write.numbers import SYMBOLS, claim_in_numbers, diagnosed, interval, over_seeds

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


def escape(text: Any) -> str:
    """Text that Markdown shows as it is, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def code(text: Any) -> str:
    """Text in a code span, also inside a table."""
    plain = " ".join(str(text).split()).replace("|", "¦").replace("`", "\N{MODIFIER LETTER GRAVE ACCENT}")
    return f"`{plain}`" if plain else ""


def markdown(content: dict[str, Any]) -> str:
    """The content of tables.md."""
    parts = ["# Results", escape(content["paper"]) + ".", "## What was run"]
    for experiment in content["experiments"]:
        parts += _experiment(experiment)
    parts += ["## Beside the paper"]
    for tables in content["paper_tables"]:
        parts += _paper_tables(tables)
    if content["equal_distortion"]:
        parts += ["## Equal distortion", DISTORTION]
        for band in content["equal_distortion"]:
            parts += _band(band)
    parts += ["## How to read this", *READING]
    if content["stopped_early"]:
        parts += ["## Stopped early", _runs(content["stopped_early"])]
    for key, title in (("failed", "Failed"), ("unfinished", "Unfinished"), ("damaged", "Damaged")):
        if content[key]:
            rows = [[code(r["folder"]), escape(r["name"]), escape(r["reason"])] for r in content[key]]
            parts += [f"## {title}", _table(["Folder", "Run", "Why"], rows)]
    parts += ["## All finished runs", _runs(content["runs"])]
    return "\n\n".join(parts) + "\n"


def _experiment(experiment: dict[str, Any]) -> Iterable[str]:
    yield f"### {escape(experiment['title'])}"
    yield f"{escape(experiment['caption'])}. The best mean on its data and by its protocol is bold."
    keys, metrics = experiment["keys"], experiment["metrics"]
    head = ["Model", *(escape(key["heading"]) for key in keys)]
    for metric in metrics:
        head += [label(metric), *(["paper"] if experiment["beside_the_papers"] and metric != MSE else [])]
    rows = []
    for row in experiment["rows"]:
        line = [escape(row["model_title"]), *(escape(row["settings"].get(key["key"], "—")) for key in keys)]
        for metric in metrics:
            found = row["metrics"].get(metric)
            number = over_seeds(found, metric) if found else "—"
            line.append(f"**{number}**" if metric in row["best"] else number)
            if experiment["beside_the_papers"] and metric != MSE:
                line.append(shown(found["paper"] if found else None, metric))
        rows.append([*line, f"{row['n']}{_lost(row)}", escape(diagnosed(row["diagnostics"]))])
    yield _table([*head, "Seeds", "Diagnostics"], rows, right=range(1, len(head) + 1))
    notes = [
        f"- {escape(row['title'])}: {escape('; '.join(row['notes']))}" for row in experiment["rows"] if row["notes"]
    ]
    if notes:
        yield "\n".join(notes)
    for search in experiment["searches"]:
        wanted = "largest" if search["direction"] == "maximize" else "smallest"
        told = f"A search for the {wanted} {label(search['name'])}: {search['finished']} trials finished"
        if search["best"] is None:
            yield f"{escape(told)}."
        else:
            number = shown(search["values"][search["best"]], search["name"])
            yield f"{escape(told)}, the best of them trial {search['best']} with {number}: {code(search['command'])}"
    if experiment["evaluations"]:
        yield f"#### Probed again: {escape(experiment['title'])}"
        yield f"What `softvq evaluate` measured of the same weights; {escape(experiment['evaluated'])}."
        rows = [
            [escape(found["title"]), escape(found["protocol"]), escape(found["tap"]), escape(data_name(found["data"]))]
            + [over_seeds(found["metrics"][m], m) if m in found["metrics"] else "—" for m in PROBE_METRICS]
            + [str(found["n"])]
            for found in experiment["evaluations"]
        ]
        head = ["Model", "Protocol", "Tap", "Data", *map(label, PROBE_METRICS), "Seeds"]
        yield _table(head, rows, right=range(4, 8))


def _lost(entry: dict[str, Any]) -> str:
    return f" ({entry['lost']} lost)" if entry["lost"] else ""


def _paper_tables(tables: dict[str, Any]) -> Iterable[str]:
    fidelity = f"fidelity={tables['fidelity']}"
    for table in tables["tables"]:
        yield f"### {escape(table['title'])}, {escape(fidelity)}"
        yield escape(table["caption"])
        yield _paper_table(table)
    entries = [entry for table in tables["tables"] for row in table["rows"] for entry in row["entries"] if entry["n"]]
    if entries:
        yield f"### Every number, {escape(fidelity)}"
        yield _every_number(entries)
    yield f"### Claims, {escape(fidelity)}"
    yield TESTS
    yield _claims(tables["claims"])
    if tables["spreads"]:
        yield f"### Spread over seeds, {escape(fidelity)}"
        yield SPREAD
        yield _spreads(tables["spreads"])


def _paper_table(table: dict[str, Any]) -> str:
    several = len(table["data"]) > 1
    head = ["Model"]
    for data in table["data"]:
        for metric in data["metrics"]:
            name = f"{data['title']} {label(metric)}" if several else label(metric)
            head += [escape(name), "paper", "verdict"]
    rows = []
    for row in table["rows"]:
        line = [escape(row["title"])]
        for data, entry in zip(table["data"], row["entries"], strict=True):
            for metric in data["metrics"]:
                line += _beside(entry, metric)
        rows.append(line)
    return _table(head, rows, right=range(1, len(head)))


def _beside(entry: dict[str, Any], metric: str) -> list[str]:
    found = entry["metrics"][metric]
    paper = shown(found["paper"], metric)
    if found["mean"] is None:
        return ["—", paper, "not run"]
    difference = "" if found["difference"] is None else f" {shown(found['difference'], metric, signed=True)}"
    verdict = f"{SYMBOLS[found['verdict']]} {found['verdict']}{difference}" if found["verdict"] else ""
    return [f"{over_seeds(found, metric)} (n = {found['n']}{_lost(entry)})", paper, verdict]


def _every_number(entries: Sequence[dict[str, Any]]) -> str:
    head = ["Data", "Model", "Number", "n", "Mean", "Std", "95 % interval", "Paper", "Difference", "Verdict", "Runs"]
    rows = [
        [
            escape(data_name(entry["data"])),
            escape(row_name(entry["model"])),
            label(metric),
            str(found["n"]),
            shown(found["mean"], metric),
            shown(found["std"], metric),
            interval(found, metric),
            shown(found["paper"], metric),
            shown(found["difference"], metric, signed=True),
            found["verdict"] or "—",
            ", ".join(code(run["folder"]) for run in entry["runs"]),
        ]
        for entry in entries
        for metric, found in entry["metrics"].items()
    ]
    return _table(head, rows, right=range(3, 9))


def _claims(claims: Sequence[dict[str, Any]]) -> str:
    rows = [
        [
            escape(claim["title"]),
            f"“{escape(claim['quote'])}” ({escape(claim['where'])})",
            escape(claim["reading"]),
            f"**{claim['outcome']}**",
            escape(claim_in_numbers(claim)),
        ]
        for claim in claims
    ]
    return _table(["Claim", "In the paper", "As tested", "Outcome", "Numbers"], rows)


def _spreads(spreads: Sequence[dict[str, Any]]) -> str:
    metric = "clustering_accuracy"
    rows = [
        [
            escape(f"{row_name(found['model'])} on {data_name(found['data'])}"),
            str(found["n"]),
            shown(found["std"], metric),
            f"{shown(found['low'], metric)} to {shown(found['high'], metric)}",
            found["outcome"],
            "—" if found["seeds"] is None else str(found["seeds"]),
        ]
        for found in spreads
    ]
    head = ["Row", "n", "Standard deviation (points)", "95 % interval", "The paper's 1 percent", "Seeds for 3 points"]
    return _table(head, rows, right=(1, 2, 3, 5))


def _band(band: dict[str, Any]) -> Iterable[str]:
    yield (
        f"### {escape(data_name(band['data']))}, {code(band['setting'])}: normalized test MSE "
        f"from {shown(band['low'], MSE)} to {shown(band['high'], MSE)}"
    )
    rows = []
    for model in band["models"]:
        entry = model["entry"]
        settings = code(", ".join(f"{d['key']} = {d['value']}" for d in entry["own"]) or "default")
        if model["inside"]:
            values = [over_seeds(entry["metrics"][m], m) for m in PROBE_METRICS]
            rows.append([escape(model["title"]), settings, shown(model["mse"], MSE), *values, str(entry["n"])])
        else:
            nearest = f"none in the band; nearest {shown(model['mse'], MSE)}"
            rows.append([escape(model["title"]), settings, nearest, *["—"] * 4])
    rows += [[escape(row_name(model)), "", "not run", *["—"] * 4] for model in band["missing"]]
    yield _table(["Model", "Settings", "MSE", *map(label, PROBE_METRICS), "n"], rows, right=range(2, 7))


def _runs(runs: Sequence[dict[str, Any]]) -> str:
    head = ["Folder", "Seed", "Steps", *map(label, NUMBERS), "Configuration", "Commit", "Data sha256", "Device"]
    rows = [
        [code(run["folder"]), str(run["seed"]), str(run["steps"])]
        + [shown(run["values"].get(metric), metric) for metric in NUMBERS]
        + [
            code(run["config_hash"]),
            code(run["commit"] or "unknown"),
            code(run["data_sha256"]),
            code(run["device"] or ""),
        ]
        for run in runs
    ]
    return _table(head, rows, right=range(1, 7)) if rows else "None."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    numeric = set(right)
    rule = ["---:" if i in numeric else "---" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows))
