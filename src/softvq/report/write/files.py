"""The files of a report: the page, its tables in Markdown, LaTeX and CSV, its numbers as JSON, its plots as SVG."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from softvq.durable_files import write_json, write_text
from softvq.published import PROBE_METRICS
from softvq.report.read.departures import DefaultSettings
from softvq.report.read.evaluations_csv import FIRST, evaluations_csv
from softvq.report.read.run import UNFINISHED, Run
from softvq.report.read.runs_csv import IDENTITY, runs_csv
from softvq.report.write.figure_4 import panels
from softvq.report.write.latex import latex
from softvq.report.write.markdown import markdown
from softvq.report.write.page import page
from softvq.report.write.plots import results_plot
from softvq.run_folder import refuse_foreign

PAGE = "report.html"
# The files of each report, and how they begin.
WRITTEN = {
    "results.json": rb'\{\s*"paper": "Wu & Flierl',
    "runs.csv": ",".join(IDENTITY).encode(),
    "evaluations.csv": ",".join(FIRST).encode(),
    "tables.md": rb"# Results\s*Wu .{1,9} Flierl",
    "tables.tex": rb"% needs \\usepackage\{booktabs\}",
    PAGE: rb"(?s).*<title>Bottlenecks for autoencoders",
}


def write_report(
    content: dict[str, Any],
    runs: Sequence[Run],
    defaults: DefaultSettings,
    out: Path,
    logs: Sequence[Path],
    date: datetime,
) -> None:
    """Writes everything into a folder, which is made where it is missing.

    Args:
        content: what `results` returned.
        runs: all runs that were read.
        defaults: the default configurations.
        out: the folder.
        logs: from which the runs were read.
        date: of the page.

    Raises:
        ValueError: if files in it have the names of the report's and are no report's.
        OSError: if the folder cannot be written.
    """
    plots = {out / "plots" / f"{_file_name(experiment['name'])}.svg": None for experiment in content["experiments"]}
    refuse_foreign({**{out / name: mark for name, mark in WRITTEN.items()}, **plots})
    known = [run for run in runs if run.status != UNFINISHED]
    departures = [defaults.departures(run) for run in known]
    departing = {
        run.folder: ", ".join(f"{key}={value} (default {default})" for key, value, default in found.all)
        for run, found in zip(known, departures, strict=True)
    }
    figure_4 = panels(known, departing, out / ".cache")
    write_json(out / "results.json", content)
    write_text(out / "runs.csv", runs_csv(known, departures))
    write_text(out / "evaluations.csv", evaluations_csv(known))
    write_text(out / "tables.md", markdown(content))
    write_text(out / "tables.tex", latex(content))
    for experiment in content["experiments"]:
        metrics = [metric for metric in PROBE_METRICS if metric in experiment["metrics"]]
        if metrics and len(experiment["rows"]) > 1:
            svg = results_plot(experiment["rows"], metrics).svg.decode()
            write_text(out / "plots" / f"{_file_name(experiment['name'])}.svg", svg)
    write_text(out / PAGE, page(content, known, departing, out, logs, figure_4, date))


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "runs"
