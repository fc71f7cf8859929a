"""Takes finished runs into docs/results/ and writes what the pages show of them: `make results LOGS=...`.

A page has a place for each table, `<!-- runs: NAME -->` to `<!-- end -->`, where NAME may be followed by what the table
is of; what stands there comes from the committed tables of runs alone.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from findings import Findings
from result_plots import scan
from result_tables import REPEATS, TABLES
from study_tables import kl_weights
from turns import HERE
from zoo_plot import write_plot
from zoo_tables import EXPERIMENT

from softvq.durable_files import write_text
from softvq.published import PROBE_METRICS, SEEDLESS, data_order, row_order
from softvq.report.judge.experiments import ORDER
from softvq.report.read.collection import Collection, collect
from softvq.report.read.departures import DefaultSettings
from softvq.report.read.evaluations_csv import evaluations_csv
from softvq.report.read.run import UNFINISHED, Run
from softvq.report.read.runs_csv import runs_csv
from softvq.report.write.plots import results_plot
from softvq.report.write.results import results

ROOT = HERE.parent
RESULTS = ROOT / "docs" / "results"
PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "results.md",
    ROOT / "docs" / "bottlenecks.md",
    *sorted((ROOT / "docs" / "bottlenecks").glob("*.md")),
)
PLACE = re.compile(r"(<!-- runs: (\w+)((?: \w+)*) -->\n).*?(<!-- end -->)", re.DOTALL)


def merged(known: Sequence[Run], new: Sequence[Run]) -> list[Run]:
    """The runs of both, in the order of the tables; of two runs of one experiment and configuration the new one.

    One that ran on another device than the run that is there stands beside it, among the repeats.
    """
    runs: dict[tuple[str, ...], Run] = {}
    for run in (*known, *new):
        place = (run.experiment, run.config_hash, run.data_sha256)
        if place in runs and runs[place].device != run.device:
            run = replace(run, experiment=REPEATS, folder=f"{REPEATS}/{run.folder}")
            place = (REPEATS, *place[1:], str(run.device))
        elif run.experiment == REPEATS:
            place = (*place, str(run.device))
        runs[place] = run
    return sorted(runs.values(), key=_place)


def _place(run: Run) -> tuple[object, ...]:
    experiment = (ORDER.index(run.experiment) if run.experiment in ORDER else len(ORDER), run.experiment)
    return (*experiment, data_order(run.data), row_order(run.bottleneck), run.fidelity, run.settings_hash, run.seed)


def filled(page: str, findings: Findings) -> str:
    """A page's text with its tables as the runs have them now."""
    return PLACE.sub(lambda place: f"{place[1]}\n{TABLES[place[2]](findings, *place[3].split())}\n\n{place[4]}", page)


def write(runs: Sequence[Run]) -> None:
    """The tables of runs and of evaluations, and Table 1's plot."""
    defaults = DefaultSettings()
    write_text(RESULTS / "runs.csv", runs_csv(runs, [defaults.departures(run) for run in runs]))
    write_text(RESULTS / "evaluations.csv", evaluations_csv(runs))
    for experiment in results(Collection(list(runs)), defaults)["experiments"]:
        if experiment["name"] == "table_1":
            rows = [row for row in experiment["rows"] if row["model"] not in SEEDLESS or row["fidelity"] == "paper"]
            svg = results_plot(rows, PROBE_METRICS).svg.decode()
            write_text(RESULTS / "table_1.svg", svg)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", nargs="*", type=Path, help="folders of finished runs to take in")
    args = parser.parse_args()
    known = collect([RESULTS / "runs.csv"]).runs
    if args.logs:
        new = [run for run in collect(args.logs).runs if run.status != UNFINISHED]
        write(merged(known, new))
        print(f"{len(new)} runs read; {RESULTS.relative_to(ROOT)} has {len(merged(known, new))}")
    findings = Findings(collect([RESULTS / "runs.csv"]).runs)
    write_plot(findings.of(EXPERIMENT), RESULTS / "zoo.svg")
    scan(kl_weights(findings), "weight of the KL", RESULTS / "kl_sweep.svg")
    for page in PAGES:
        text = filled(page.read_text(encoding="utf-8"), findings)
        write_text(page, text)


if __name__ == "__main__":
    main()
