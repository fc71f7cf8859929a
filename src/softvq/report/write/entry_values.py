"""An entry's numbers and where they come from, as plain values for `results.json`."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from softvq.report.judge.entries import Entry
from softvq.report.judge.paper_tables import paper_number, paper_verdict
from softvq.report.judge.statistics import Summary
from softvq.report.read.run import Run

DIGITS = 6  # results.json rounds to these, so that the last bits of a library's sums do not show


def entry_values(entry: Entry, identity: str, metrics: Iterable[str] = ()) -> dict[str, Any]:
    """The numbers of an entry and where they come from.

    Args:
        entry: what is told.
        identity: for links to it.
        metrics: numbers that are listed even where no run has them.
    """
    return {
        "id": identity,
        "data": entry.data,
        "model": entry.bottleneck,
        "fidelity": entry.fidelity,
        "protocol": entry.protocol,
        "steps": entry.steps,
        "own": departure_values(entry.departures.own),
        "settings_hash": entry.settings_hash,
        "n": len(entry.runs),
        "lost": len(entry.lost),
        "metrics": {metric: _metric(entry, metric) for metric in dict.fromkeys([*metrics, *entry.metrics])},
        "runs": [source_values(run) for run in entry.runs],
        "repeats": [run.folder for run in entry.repeats],
        "notes": list(entry.notes),
    }


def anchor(kind: str, *names: str | None) -> str:
    """A name for links within the page, which further runs leave as it is."""
    return f"{kind}-{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:10]}"


def names_of(entry: Entry) -> tuple[str | None, ...]:
    """What tells an entry from the others of its experiment."""
    return entry.data, entry.bottleneck, entry.fidelity, entry.settings_hash


def _metric(entry: Entry, metric: str) -> dict[str, Any]:
    found, paper = entry.summary(metric), paper_number(entry, metric)
    difference = None if found is None or paper is None else rounded(found.mean - paper)
    return {**summary_values(found), "paper": paper, "difference": difference, "verdict": paper_verdict(entry, metric)}


def summary_values(summary: Summary | None) -> dict[str, Any]:
    """Mean, spread and the ends of the interval; None where there are too few runs for them."""
    if summary is None:
        return {"n": 0, "mean": None, "std": None, "interval": None}
    ends = None if summary.low is None else [rounded(summary.low), rounded(summary.high)]
    return {"n": summary.n, "mean": rounded(summary.mean), "std": rounded(summary.std), "interval": ends}


def rounded(value: float | None) -> float | None:
    """The number with `DIGITS` digits behind the point, never as minus zero."""
    return None if value is None else round(value, DIGITS) + 0.0


def departure_values(departures: Iterable[tuple[str, str, str]]) -> list[dict[str, str]]:
    """Settings that differ from the defaults."""
    return [{"key": key, "value": value, "default": default} for key, value, default in departures]


def source_values(run: Run) -> dict[str, Any]:
    """The run that a number comes from, so that it can be found and repeated."""
    return {
        "folder": run.folder,
        "seed": run.seed,
        "config_hash": run.config_hash,
        "commit": run.commit,
        "data_sha256": run.data_sha256,
        "device": run.device,
        "values": {name: rounded(value) for name, value in run.values.items()},
    }
