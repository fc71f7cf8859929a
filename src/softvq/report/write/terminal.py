"""Runs as tables on the terminal."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

from softvq.published import NUMBERS, label, shown
from softvq.report.judge.comparison import Comparison, Row
from softvq.report.judge.experiments import brief
from softvq.report.read.run import Run, setting


def runs_table(runs: Sequence[Run], keys: Sequence[str]) -> Table:
    """A row for each run; what all runs have in common is said once, in the title.

    Args:
        runs: in their order.
        keys: settings that get a column.
    """
    texts = ("data", "bottleneck", "fidelity", "protocol", "tap", "status")
    common = {name: {str(getattr(run, name)) for run in runs} for name in (*texts, "steps")}
    told = [f"{name} {value}" for name, values in common.items() if len(values) == 1 for value in values]
    columns = [name for name in texts[:-1] if len(common[name]) > 1]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=", ".join(told) or None, title_justify="left")
    table.add_column("run", overflow="fold", min_width=20)
    for name in columns:
        table.add_column(name, overflow="fold")
    whole = ["seed", *(["steps"] if len(common["steps"]) > 1 else [])]
    for name in (*whole, *(key.rpartition(".")[2] for key in keys)):
        table.add_column(name, justify="right", overflow="fold")
    for metric in NUMBERS:
        table.add_column("\n".join(label(metric).rsplit(" ", 1)), justify="right", no_wrap=True)
    if len(common["status"]) > 1:
        table.add_column("status", min_width=10)
    for run in runs:
        table.add_row(
            run.folder,
            *(str(getattr(run, name)) for name in columns),
            *(
                _text(value)
                for value in (*(getattr(run, name) for name in whole), *(setting(run, key) for key in keys))
            ),
            *(shown(run.values.get(metric), metric) for metric in NUMBERS),
            *([run.status.replace("_", " ")] if len(common["status"]) > 1 else []),
        )
    return table


def comparison_tables(found: Comparison) -> list[Table]:
    """The settings that differ, then the numbers side by side, then where and how the two ran."""
    numbers = _side_by_side("number", found)
    numbers.add_column("difference", justify="right")
    for metric in NUMBERS:
        first, second = (run.values.get(metric) for run in (found.first, found.second))
        difference = None if first is None or second is None else second - first
        numbers.add_row(
            label(metric), shown(first, metric), shown(second, metric), shown(difference, metric, signed=True)
        )
    numbers.add_section()
    for name, mine, theirs in found.more:
        numbers.add_row(name.replace("_", " "), _text(mine), _text(theirs))
    tables = [_rows("setting", found, found.settings)] if found.settings else []
    return [*tables, numbers, *([_rows("circumstance", found, found.circumstances)] if found.circumstances else [])]


def _rows(head: str, found: Comparison, rows: Sequence[Row]) -> Table:
    table = _side_by_side(head, found)
    for name, first, second in rows:
        table.add_row(name, _text(first), _text(second))
    return table


def _side_by_side(head: str, found: Comparison) -> Table:
    table = _table()
    table.add_column(head, overflow="fold")
    for run in (found.first, found.second):
        table.add_column(run.folder, justify="right", overflow="fold")
    return table


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def _text(value: Any) -> str:
    if value is None:
        return "—"
    return f"{value:.6g}" if isinstance(value, float) else brief(tuple(value) if isinstance(value, list) else value)
