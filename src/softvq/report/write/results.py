"""The whole content of the report as plain values: `results.json`, from which every table is written."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from softvq.published import SEES_LABELS, TABLES, data_name, data_order, row_name, table_columns
from softvq.report.judge.claims import Claim, Inequality, judge_claims
from softvq.report.judge.entries import Entry, make_entries
from softvq.report.judge.equal_distortion import EXPERIMENT, Band, bands
from softvq.report.judge.evaluations import Evaluated, evaluated
from softvq.report.judge.experiments import Experiment, brief, make_experiments, value_of
from softvq.report.judge.paper_tables import PaperTables, make_paper_tables, paper_number, paper_verdict
from softvq.report.judge.spread import Spread, spreads
from softvq.report.judge.statistics import Summary
from softvq.report.read.collection import Collection
from softvq.report.read.departures import DefaultSettings
from softvq.report.read.run import FAILED, UNFINISHED, Run
from softvq.report.read.searches import Search
from softvq.report.write.numbers import SET_UP
from softvq.run.agreement import FINISHED, STOPPED_EARLY

DIGITS = 6  # results.json rounds to these, so that the last bits of a library's sums do not show
UNNAMED = ("", "runs")  # names of runs that belong to no experiment
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
        "experiments": [_experiment(experiment, collection.searches) for experiment in experiments],
        "paper_tables": [_paper_tables(tables) for tables in paper_tables],
        "equal_distortion": [_band(found) for found in bands(distortion, band)],
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


def anchor(kind: str, *names: str | None) -> str:
    """A name for links within the page, which further runs leave as it is."""
    return f"{kind}-{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:10]}"


def _experiment(found: Experiment, searches: Iterable[Search]) -> dict[str, Any]:
    rows = [_row(found, entry) for entry in found.entries]
    return {
        "id": anchor("experiment", found.name),
        "name": found.name,
        "title": "Runs outside the experiments" if found.name in UNNAMED else f"Experiment {found.name}",
        "caption": _caption(found),
        "data": found.data,
        "common": _departures(found.common),
        "keys": [{"key": key, "heading": found.heading(key)} for key in found.keys],
        "metrics": found.metrics,
        "diagnostics": sorted({name for e in found.entries for name in e.diagnostics()} - {*SET_UP}),
        "is_the_papers": found.is_the_papers,
        "beside_the_papers": any(number["paper"] is not None for row in rows for number in row["metrics"].values()),
        "rows": rows,
        "curves": [_curve(found, key, lines) for key, lines in found.curves()],
        "evaluations": [_evaluated(found, each) for entry in found.entries for each in evaluated(entry)],
        "evaluated": _evaluated_caption(found),
        "searches": [_search(search) for search in searches if search.experiment == found.name],
    }


def _search(search: Search) -> dict[str, Any]:
    """A search: the values of its trials in order, the best trial, and the importance of each setting."""
    return {
        "metric": search.metric,
        "name": search.metric.rpartition(".")[2],
        "direction": search.direction,
        "values": [_rounded(value) for value in search.values],
        "finished": sum(value is not None for value in search.values),
        "tried": [dict(chosen) for chosen in search.tried],
        "choices": sorted(search.choices),
        "logarithmic": sorted(search.logarithmic),
        "importance": {key: _rounded(value) for key, value in search.importance.items()},
        "best": search.best,
        "chosen": dict(search.chosen),
        "command": search.command,
    }


def _caption(found: Experiment) -> str:
    """Data, steps, seeds and protocol, and what departs from the defaults in all rows alike."""
    said = _trained(found.entries)
    for key, option in (("protocol", "probes"), ("tap", "probes.tap")):
        said.append(f"{option}={', '.join(sorted({getattr(entry, key) for entry in found.entries}))}")
    return "; ".join(said + _shared(found.common))


def _evaluated_caption(found: Experiment) -> str:
    """Data, steps and seeds of the weights that were probed again; each row names its own protocol."""
    common = [departure for departure in found.common if not departure[0].startswith("probes.")]
    probed = [replace(e, runs=tuple(run for run in e.runs if run.evaluations)) for e in found.entries]
    return "; ".join(_trained([entry for entry in probed if entry.runs]) + _shared(common))


def _trained(entries: Sequence[Entry]) -> list[str]:
    """Data, steps, seeds and fidelity."""
    steps = sorted({entry.steps for entry in entries if entry.steps})
    seeds = sorted({run.seed for entry in entries for run in entry.runs})
    return [
        ", ".join(map(data_name, sorted({entry.data for entry in entries}, key=data_order))),
        f"{', '.join(f'{n:,}' for n in steps)} steps" if steps else "nothing trained",
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds)) or 'none'}",
        f"fidelity={', '.join(sorted({entry.fidelity for entry in entries}))}",
    ]


def _shared(common: Iterable[tuple[str, str, str]]) -> list[str]:
    """Settings that depart from the defaults in all rows alike."""
    defaults: dict[str, list[str]] = {}
    for key, value, default in common:
        defaults.setdefault(f"{key}={value}", []).append(default)
    return [f"{setting} (default {' or '.join(others)})" for setting, others in defaults.items()]


def _row(experiment: Experiment, entry: Entry) -> dict[str, Any]:
    values = {key: value_of(entry, key) for key in experiment.keys}
    on = f" on {data_name(entry.data)}" if len(experiment.data) > 1 else ""
    return {
        **_entry(entry, anchor("row", experiment.name, *_names(entry))),
        "title": experiment.title(entry),
        "model_title": f"{row_name(entry.bottleneck)}{on}{' (sees labels)' if entry.bottleneck in SEES_LABELS else ''}",
        "settings": {key: brief(value) for key, value in values.items() if value is not None},
        "best": [metric for metric in experiment.metrics if entry in experiment.best(entry, metric)],
        "diagnostics": {name: _rounded(value) for name, value in entry.diagnostics().items()},
    }


def _names(entry: Entry) -> tuple[str | None, ...]:
    return entry.data, entry.bottleneck, entry.fidelity, entry.settings_hash


def _entry(entry: Entry, identity: str, metrics: Iterable[str] = ()) -> dict[str, Any]:
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
        "own": _departures(entry.departures.own),
        "settings_hash": entry.settings_hash,
        "n": len(entry.runs),
        "lost": len(entry.lost),
        "metrics": {metric: _metric(entry, metric) for metric in dict.fromkeys([*metrics, *entry.metrics])},
        "runs": [_source(run) for run in entry.runs],
        "repeats": [run.folder for run in entry.repeats],
        "notes": list(entry.notes),
    }


def _metric(entry: Entry, metric: str) -> dict[str, Any]:
    found, paper = entry.summary(metric), paper_number(entry, metric)
    difference = None if found is None or paper is None else _rounded(found.mean - paper)
    return {**_summary(found), "paper": paper, "difference": difference, "verdict": paper_verdict(entry, metric)}


def _summary(summary: Summary | None) -> dict[str, Any]:
    if summary is None:
        return {"n": 0, "mean": None, "std": None, "interval": None}
    ends = None if summary.low is None else [_rounded(summary.low), _rounded(summary.high)]
    return {"n": summary.n, "mean": _rounded(summary.mean), "std": _rounded(summary.std), "interval": ends}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS) + 0.0


def _departures(departures: Iterable[tuple[str, str, str]]) -> list[dict[str, str]]:
    return [{"key": key, "value": value, "default": default} for key, value, default in departures]


def _curve(experiment: Experiment, key: str, lines: dict[str, list[Entry]]) -> dict[str, Any]:
    """The numbers over one varied setting, a line for each model and combination of the other settings."""
    return {
        "key": key,
        "heading": experiment.heading(key),
        "lines": [
            {
                "title": title,
                "data": entries[0].data,
                "model": entries[0].bottleneck,
                "points": [
                    {
                        "at": value_of(entry, key),
                        "metrics": {m: _summary(entry.summary(m)) for m in entry.metrics},
                        "values": {m: [_rounded(v) for v in entry.values(m).values()] for m in entry.metrics},
                    }
                    for entry in entries
                ],
            }
            for title, entries in lines.items()
        ],
    }


def _evaluated(experiment: Experiment, found: Evaluated) -> dict[str, Any]:
    return {
        "title": experiment.title(found.entry),
        "row": anchor("row", experiment.name, *_names(found.entry)),
        "protocol": found.protocol,
        "tap": found.tap,
        "data": found.data,
        "metrics": {metric: _summary(found.summary(metric)) for metric in found.values},
        "n": max((len(values) for values in found.values.values()), default=0),
    }


def _paper_tables(tables: PaperTables) -> dict[str, Any]:
    return {
        "id": anchor("tables", tables.fidelity),
        "fidelity": tables.fidelity,
        "was_run": tables.was_run,
        "tables": [_paper_table(tables, *table) for table in TABLES],
        "claims": [_claim(claim) for claim in judge_claims(tables)],
        "spreads": [_spread(found) for found in spreads(tables)],
    }


def _paper_table(tables: PaperTables, key: str, title: str, caption: str, data: Sequence[str]) -> dict[str, Any]:
    return {
        "key": key,
        "title": title,
        "caption": caption,
        "was_run": any(tables.entries[name, model].runs for name in data for model in tables.rows(data)),
        "data": [{"name": name, "title": data_name(name), "metrics": list(table_columns(name))} for name in data],
        "rows": [
            {
                "model": model,
                "title": row_name(model, key),
                "entries": [_paper_entry(tables.entries[name, model]) for name in data],
            }
            for model in tables.rows(data)
        ],
    }


def _paper_entry(entry: Entry) -> dict[str, Any]:
    identity = anchor("entry", entry.data, entry.bottleneck, entry.fidelity)
    return _entry(entry, identity, metrics=table_columns(entry.data))


def _spread(found: Spread) -> dict[str, Any]:
    numbers = {name: _rounded(getattr(found, name)) for name in ("std", "low", "high")}
    return {
        "data": found.entry.data,
        "model": found.entry.bottleneck,
        "n": found.n,
        **numbers,
        "outcome": found.outcome,
        "seeds": found.seeds,
    }


def _claim(claim: Claim) -> dict[str, Any]:
    numbers = {key: _probability(getattr(claim, key)) for key in ("p", "p_against", "adjusted", "adjusted_against")}
    return {**asdict(claim), **numbers, "comparisons": [_comparison(comparison) for comparison in claim.comparisons]}


def _comparison(comparison: Inequality) -> dict[str, Any]:
    return {
        "label": comparison.label,
        "metric": comparison.metric,
        "kind": comparison.kind,
        "reference": comparison.reference,
        "relative": comparison.relative,
        "state": comparison.state,
        **_summary(comparison.amount),
        "p": _probability(comparison.p),
        "p_against": _probability(comparison.p_against),
    }


def _probability(p: float | None) -> float | None:
    """Four significant digits."""
    return None if p is None else float(f"{p:.3e}")


def _band(band: Band) -> dict[str, Any]:
    return {
        "data": band.data,
        "setting": band.setting,
        "low": _rounded(band.low),
        "high": _rounded(band.high),
        "models": [
            {
                "model": matched.bottleneck,
                "title": row_name(matched.bottleneck),
                "inside": matched.inside,
                "mse": _rounded(matched.mse),
                "entry": _entry(matched.entry, anchor("band", band.setting, *_names(matched.entry))),
            }
            for matched in band.models
        ],
        "missing": list(band.missing),
    }


def _source(run: Run) -> dict[str, Any]:
    """The run that a number comes from, so that it can be found and repeated."""
    return {
        "folder": run.folder,
        "seed": run.seed,
        "config_hash": run.config_hash,
        "commit": run.commit,
        "data_sha256": run.data_sha256,
        "device": run.device,
        "values": {name: _rounded(value) for name, value in run.values.items()},
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        **_source(run),
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
