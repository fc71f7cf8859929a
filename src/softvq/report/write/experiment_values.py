"""What was run, experiment by experiment, as plain values for `results.json`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from softvq.published import SEES_LABELS, data_name, data_order, row_name
from softvq.report.judge.entries import Entry
from softvq.report.judge.evaluations import Evaluated, evaluated
from softvq.report.judge.experiments import Experiment, brief, value_of
from softvq.report.read.searches import Search
from softvq.report.write.entry_values import anchor, departure_values, entry_values, names_of, rounded, summary_values
from softvq.report.write.numbers import SET_UP

UNNAMED = ("", "runs")  # names of runs that belong to no experiment


def experiment_values(found: Experiment, searches: Iterable[Search]) -> dict[str, Any]:
    """An experiment: its rows, curves, searches, and what was probed again."""
    rows = [_row(found, entry) for entry in found.entries]
    return {
        "id": anchor("experiment", found.name),
        "name": found.name,
        "title": "Runs outside the experiments" if found.name in UNNAMED else f"Experiment {found.name}",
        "caption": _caption(found),
        "data": found.data,
        "common": departure_values(found.common),
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
        "values": [rounded(value) for value in search.values],
        "finished": sum(value is not None for value in search.values),
        "tried": [dict(chosen) for chosen in search.tried],
        "choices": sorted(search.choices),
        "logarithmic": sorted(search.logarithmic),
        "importance": {key: rounded(value) for key, value in search.importance.items()},
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
        **entry_values(entry, anchor("row", experiment.name, *names_of(entry))),
        "title": experiment.title(entry),
        "model_title": f"{row_name(entry.bottleneck)}{on}{' (sees labels)' if entry.bottleneck in SEES_LABELS else ''}",
        "settings": {key: brief(value) for key, value in values.items() if value is not None},
        "best": [metric for metric in experiment.metrics if entry in experiment.best(entry, metric)],
        "diagnostics": {name: rounded(value) for name, value in entry.diagnostics().items()},
    }


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
                        "metrics": {m: summary_values(entry.summary(m)) for m in entry.metrics},
                        "values": {m: [rounded(v) for v in entry.values(m).values()] for m in entry.metrics},
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
        "row": anchor("row", experiment.name, *names_of(found.entry)),
        "protocol": found.protocol,
        "tap": found.tap,
        "data": found.data,
        "metrics": {metric: summary_values(found.summary(metric)) for metric in found.values},
        "n": max((len(values) for values in found.values.values()), default=0),
    }
