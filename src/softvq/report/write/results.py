"""The whole content of the report as plain values: `results.json`, from which every table is written."""

from collections.abc import Iterable, Sequence
from typing import Any

from softvq.report.judge.entries import make_entries
from softvq.report.judge.equal_distortion import EXPERIMENT, bands
from softvq.report.judge.experiments import make_experiments
from softvq.report.judge.paper_tables import make_paper_tables
from softvq.report.read.collection import Collection
from softvq.report.read.departures import DefaultSettings
from softvq.report.read.run import FAILED, UNFINISHED, Run
from softvq.report.write.entry_values import source_values
from softvq.report.write.experiment_values import experiment_values
from softvq.report.write.paper_values import band_values, paper_values
from softvq.run.agreement import FINISHED, STOPPED_EARLY

PAPER = "Wu & Flierl (2019), Vector Quantization-Based Regularization for Autoencoders, arXiv:1905.11062"


def results(
    collection: Collection, defaults: DefaultSettings, fidelities: Sequence[str] = (), band: float = 0.1
) -> dict[str, Any]:
    """Everything that the report says.

    Args:
        collection: what lies in the run folders.
        defaults: the default configurations.
        fidelities: only these; empty for all.
        band: half the width of the band of equal distortion, as a part of its middle.
    """
    runs = [run for run in collection.runs if not fidelities or run.fidelity in fidelities]
    experiments = make_experiments(runs, defaults)
    distortion = [entry for found in experiments if found.name == EXPERIMENT for entry in found.entries]
    paper_tables = make_paper_tables(make_entries(runs, defaults), fidelities)
    return {
        "paper": PAPER,
        "counts": collection.counts(),
        "experiments": [experiment_values(experiment, collection.searches) for experiment in experiments],
        "paper_tables": [paper_values(tables) for tables in paper_tables],
        "equal_distortion": [band_values(found) for found in bands(distortion, band)],
        "runs": [_run(run) for run in runs if run.status == FINISHED],
        "stopped_early": [_run(run) for run in runs if run.status == STOPPED_EARLY],
        "failed": [_remark(run) for run in runs if run.status == FAILED] + _remarks(collection.failed),
        "unfinished": [_remark(run) for run in runs if run.status == UNFINISHED],
        "damaged": _remarks(collection.damaged)
        + [
            {"folder": run.folder, "name": run.name, "step": None, "reason": problem}
            for run in runs
            for problem in run.problems
        ],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        **source_values(run),
        "data": run.data,
        "model": run.bottleneck,
        "fidelity": run.fidelity,
        "protocol": run.protocol,
        "tap": run.tap,
        "experiment": run.experiment,
        "steps": run.steps,
        "settings_hash": run.settings_hash,
        "data_verified": run.verified,
        "diagnostics": dict(run.diagnostics),
        "reason": run.reason,
    }


def _remark(run: Run) -> dict[str, Any]:
    return {"folder": run.folder, "name": run.name, "step": run.steps, "reason": run.reason}


def _remarks(remarks: Iterable[Any]) -> list[dict[str, Any]]:
    return [{"folder": remark.folder, "name": "", "step": None, "reason": remark.reason} for remark in remarks]
