"""The tables of docs/bottlenecks.md: every bottleneck under one protocol (`experiment=zoo`)."""

from collections.abc import Callable, Sequence

from table import markdown_table, read
from turns import HERE

from softvq.config.compose import options
from softvq.published import MSE, PROBE_METRICS, SEES_LABELS, data_name, data_order
from softvq.report.judge.entries import Entry

EXPERIMENT = "zoo"
FLOORS = ("raw", "untrained", "identity")
NONE = "-"
HEAD = ["clustering", "NMI", "classification", "MSE / var", "rate", "codewords", "active units", "step"]


def protocol_table(entries: Sequence[Entry], data: str) -> str:
    """All bottlenecks on some data, those that learn from labels at the end."""
    rows = [[_name(entry), *_cells(entry)] for entry in sorted(on(entries, data), key=_order)]
    return markdown_table(["`bottleneck=`", *HEAD], rows) if rows else "Not run yet."


def method_table(entries: Sequence[Entry], names: Sequence[str]) -> str:
    """One method's variants on all data."""
    found = sorted((e for e in entries if e.bottleneck in names), key=lambda e: (data_order(e.data), _order(e)))
    rows = [[_name(entry), data_name(entry.data), *_cells(entry)] for entry in found]
    return markdown_table(["`bottleneck=`", "data", *HEAD], rows) if rows else "Not run yet."


def protocol(entries: Sequence[Entry]) -> str:
    """Which runs the tables are made of."""
    if not entries:
        return "No runs yet."
    parts = []
    for data in sorted({e.data for e in entries}, key=data_order):
        seeds = sorted({run.seed for e in on(entries, data) for run in e.runs})
        there = {e.bottleneck for e in on(entries, data)}
        missing = [f"`{name}`" for name in options("bottleneck") if name not in there]
        lacking = f"; not yet: {', '.join(missing)}" if missing else ""
        parts.append(f"{data_name(data)}: {len(there)} bottlenecks, seeds {', '.join(map(str, seeds))}{lacking}.")
    return " ".join(parts)


def costs() -> dict[str, float]:
    """The processor's time of a step over the plain autoencoder's, by bottleneck."""
    found = read(HERE / "results", "step_cost")
    return {name: of["ratio"]["median"] for name, of in found["bottlenecks"].items()} if found else {}


def on(entries: Sequence[Entry], data: str) -> list[Entry]:
    """The entries of some data."""
    return [entry for entry in entries if entry.data == data]


def _order(entry: Entry) -> tuple[bool, int, str]:
    name = entry.bottleneck
    return (name in SEES_LABELS, FLOORS.index(name) if name in FLOORS else len(FLOORS), name)


def _name(entry: Entry) -> str:
    collapsed = [str(run.seed) for run in entry.runs if run.collapsed]
    notes = ["sees labels"] if entry.bottleneck in SEES_LABELS else []
    if collapsed:
        all_of_them = len(collapsed) == len(entry.runs)
        notes.append("collapsed" if all_of_them else f"seed {', '.join(collapsed)} collapsed")
    return f"`{entry.bottleneck}`" + (f" ({'; '.join(notes)})" if notes else "")


def _cells(entry: Entry) -> list[str]:
    cost = costs().get(entry.bottleneck)
    return [
        *(_each(list(entry.values(metric).values()), lambda v: f"{100 * v:.1f}") for metric in PROBE_METRICS),
        _each(list(entry.values(MSE).values()), lambda v: f"{v:.3f}"),
        _each(diagnostics(entry, "rate"), lambda v: f"{v:.1f}"),
        _of(entry, "posterior_perplexity" if diagnostics(entry, "posterior_perplexity") else "perplexity", "K"),
        _of(entry, "active_units", "units"),
        NONE if cost is None else f"{cost:.2f}",
    ]


def diagnostics(entry: Entry, name: str) -> list[float]:
    """A diagnostic of the runs that have it."""
    return [run.diagnostics[name] for run in entry.runs if run.diagnostics.get(name) is not None]


def _each(values: Sequence[float], written: Callable[[float], str]) -> str:
    return " / ".join(written(value) for value in values) or NONE


def _of(entry: Entry, name: str, whole: str) -> str:
    """What is in use of what there is, `40 / 42 of 128`."""
    found, there = diagnostics(entry, name), diagnostics(entry, whole)
    return f"{_each(found, lambda v: f'{v:.0f}')} of {there[0]:.0f}" if found and there else NONE
