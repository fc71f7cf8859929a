"""report.html: a single file that loads nothing else."""

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from softvq.bounded_files import printable
from softvq.published import LABELS, NUMBERS, PROBE_METRICS, data_name, label, row_name, shown
from softvq.report.read.run import Run
from softvq.report.write.explanations import DISTORTION, READING, SPREAD, TESTS
from softvq.report.write.figure_4 import conditions
from softvq.report.write.numbers import SYMBOLS, claim_in_numbers, effect, interval, over_seeds, probability, tally
from softvq.report.write.pictures import KINDS, embedded, ordered
from softvq.report.write.plots import Plot, results_plot, sweep_plot
from softvq.report.write.search_plots import history_plot, importance_plot, searched_settings, setting_plot
from softvq.report.write.training_curves import training_curves
from softvq.run_folder import EXPLORED

OUTCOME_SYMBOLS = {
    **SYMBOLS,
    "supported": "✓",
    "contradicted": "✗",
    "by eye": "◉",
    "within one point": "=",
    "beyond one point": "▲",
}
MOST_PICTURES = 64


def page(
    content: dict[str, Any],
    runs: Sequence[Run],
    departing: Mapping[str, str],
    out: Path,
    linked: Sequence[Path],
    figure_4: Sequence[dict[str, Any]],
    date: datetime,
) -> str:
    """The whole page.

    Args:
        content: what `results` returned.
        runs: those with a result, for their pictures, curves and folders.
        departing: folder -> how a run's settings differ from the defaults, in words.
        out: the folder of the page, from which links to run folders start.
        linked: links are made to folders below these alone, so that a page elsewhere does not show where it was made.
        figure_4: its pictures with caption and folders.
        date: of the page.
    """
    template_files = files("softvq.report.write") / "template"
    style, script = (template_files.joinpath(name).read_text("utf-8") for name in ("style.css", "sort.js"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        shown=shown,
        over_seeds=over_seeds,
        interval=interval,
        effect=effect,
        detail=claim_in_numbers,
        probability=probability,
        label=label,
        short=lambda metric: LABELS[metric],
        data_name=data_name,
        row_name=row_name,
        symbol=lambda outcome: OUTCOME_SYMBOLS.get(outcome, ""),
        tally=tally,
        slug=lambda text: text.replace(" ", "-"),
        paragraph=lambda text: text.split(". ", 1),
    )
    by_folder = {run.folder: run for run in runs}
    galleries, left_out = _galleries(content["experiments"], by_folder, departing)
    return environment.from_string(template_files.joinpath("report.html.j2").read_text("utf-8")).render(
        content=content,
        experiments=[
            (experiment, _plots(experiment, by_folder), pictures)
            for experiment, pictures in zip(content["experiments"], galleries, strict=True)
        ],
        left_out=left_out,
        figure_4=figure_4,
        links=(links := _links(runs, out, linked)),
        explored={
            run.folder: f"{links[run.folder]}/{EXPLORED}"
            for run in runs
            if run.path and run.folder in links and (run.path / EXPLORED).is_file()
        },
        tallies=[_tally(tables) for tables in content["paper_tables"]],
        departing=departing,
        measures=NUMBERS,
        probes=PROBE_METRICS,
        reading=READING,
        explained={"tests": TESTS, "spread": SPREAD, "distortion": DISTORTION},
        date=f"{date.day} {date:%B %Y, %H:%M} UTC",
        style=style,
        script=script,
        style_hash=_sha256(style),
        script_hash=_sha256(script),
    )


def _plots(experiment: Mapping[str, Any], runs: Mapping[str, Run]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The plots of an experiment: results of its rows, results over each varied setting, training curves."""
    metrics = experiment["metrics"]
    groups = []
    if len(experiment["rows"]) > 1 and not experiment["searches"]:  # rows of a search are its trials, drawn below
        text = "Seeds as dots, their mean, and from three seeds on its 95 % interval"
        if experiment["beside_the_papers"]:
            text += "; the paper's number as a diamond where it can be compared"
        plots = [(f"{label(m)} of each row", results_plot(experiment["rows"], [m])) for m in metrics]
        groups.append((f"{text}.", _drawn(experiment, plots)))
    for curve in experiment["curves"]:
        papers = _papers_rows(curve) if experiment["is_the_papers"] else []
        text = f"Over {curve['key']}: each seed, the mean over seeds, and from three seeds on its 95 % interval."
        plots = [(f"{label(m)} over {curve['heading']}", sweep_plot(curve, m, papers)) for m in metrics]
        groups.append((text, _drawn(experiment, plots)))
    for search in experiment["searches"]:
        text = "The search: the number of every trial, and the best so far"
        text += "; how much of the differences between trials each setting explains" if search["importance"] else ""
        text += "; the number over each setting, the best trial dark."
        plots = [(f"{label(search['name'])} of each trial", history_plot(search))]
        if search["importance"]:
            plots.append(("importance of each setting", importance_plot(search["importance"])))
        plots += [
            (f"{label(search['name'])} over {key}", setting_plot(search, key)) for key in searched_settings(search)
        ]
        groups.append((text, _drawn(experiment, plots)))
    if training := training_curves(experiment["rows"], runs):
        groups.append(("Training of each row's lowest seed.", _drawn(experiment, [training])))
    return groups


def _drawn(experiment: Mapping[str, Any], plots: Iterable[tuple[str, Plot]]) -> list[dict[str, Any]]:
    return [{"alt": f"{experiment['title']}: {what}", "picture": plot.picture} for what, plot in plots]


def _papers_rows(curve: Mapping[str, Any]) -> list[str]:
    """The paper's rows that a curve is compared with: those of its models; a curve over the KL's weight has two."""
    models = {line["model"] for line in curve["lines"]}
    return sorted(models | {"vae", "beta_vae"} if curve["key"].endswith("kl_weight") else models)


def _links(runs: Sequence[Run], out: Path, linked: Sequence[Path]) -> dict[str, str]:
    found = {}
    start = out.resolve()
    for run in runs:
        if run.path is None:
            continue
        path = run.path.resolve()
        if any(path.is_relative_to(root.resolve()) and start.is_relative_to(root.resolve().parent) for root in linked):
            found[run.folder] = "./" + quote(os.fsencode(os.path.relpath(path, start)))
    return found


def _galleries(
    experiments: Sequence[Mapping[str, Any]], runs: Mapping[str, Run], departing: Mapping[str, str]
) -> tuple[list[list[dict[str, Any]]], int]:
    """For each experiment the pictures of each row's lowest seed, and how many were left out.

    Pictures of one kind lie side by side. Where there are too many, every row keeps those of the first kinds.
    """
    found = [
        (order, number, row["title"], run, path)
        for number, experiment in enumerate(experiments)
        for row in experiment["rows"]
        if row["runs"] and (run := runs[row["runs"][0]["folder"]])
        for path, order in ordered(run.figures)
        if path.stem != "curve"  # the curves of all rows are drawn in one plot
    ]
    galleries: list[list[dict[str, Any]]] = [[] for _ in experiments]
    for _, number, title, run, path in sorted(found, key=lambda picture: picture[0])[:MOST_PICTURES]:
        galleries[number].append(_picture(title, run, path, departing.get(run.folder, "")))
    return galleries, max(0, len(found) - MOST_PICTURES)


def _picture(title: str, run: Run, path: Path, departing: str) -> dict[str, Any]:
    return {
        "picture": embedded(path),
        "title": title,
        "what": KINDS.get(path.stem, printable(path.stem.replace("_", " "))),
        "conditions": conditions(run, departing),
        "folder": run.folder,
        "file": printable(path.name),
    }


def _tally(tables: Mapping[str, Any]) -> dict[str, list[tuple[str, int]]]:
    """How often each verdict and each outcome of a claim occurs."""
    verdicts = Counter(
        entry["metrics"][metric]["verdict"]
        for table in tables["tables"]
        for row in table["rows"]
        for data, entry in zip(table["data"], row["entries"], strict=True)
        for metric in data["metrics"]
        if entry["metrics"][metric]["paper"] is not None
    )
    outcomes = Counter(claim["outcome"] for claim in tables["claims"])
    order = list(OUTCOME_SYMBOLS)
    return {
        "verdicts": sorted(verdicts.items(), key=lambda item: order.index(item[0])),
        "claims": sorted(outcomes.items(), key=lambda item: order.index(item[0])),
    }


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
