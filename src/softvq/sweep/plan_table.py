"""The plan of a sweep as a person reads it: a row a cell, and what it comes to in a few lines."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from softvq.console import counted, duration
from softvq.sweep.plan import PENDING, Plan, PlannedCell, jobs_of
from softvq.sweep.swept import headings, overrides_of, swept_keys


def plan_table(plan: Plan) -> Table:
    """The plan, a row a cell."""
    keys = swept_keys([planned.overrides for planned in plan.cells])
    table = Table(title=counted(len(plan.cells), "cell"))
    for column in ("data", "bottleneck", *headings(keys), "seed", "state"):
        table.add_column(column, overflow="fold")
    for column in ("steps", "time", "disk"):
        table.add_column(column, justify="right")
    for planned in plan.cells:
        cell, typed = planned.cell, overrides_of(planned.overrides)
        usual: dict[str, Any] = dict(typed)
        if cell:
            usual = {**cell.choices, "data": cell.config.data.name, "seed": cell.config.seed}
        swept = [typed.get(key, "") for key in keys]
        steps = cell.config.trainer.max_steps if cell else "-"
        time = "not known" if planned.state in PENDING else "-"
        if planned.remaining_s is not None:
            time = duration(planned.remaining_s)
        disk = f"{planned.disk_bytes / 1e6:.0f} MB" if planned.disk_bytes else "-"
        row = [usual.get("data", "-"), usual.get("bottleneck", "-"), *swept, usual.get("seed", "-"), planned.state]
        table.add_row(*(str(value) for value in [*row, steps, time, disk]))
    return table


def summary_lines(plan: Plan, at_a_time: int) -> list[str]:
    """What the plan comes to, in a few lines.

    Args:
        plan: what is to be told.
        at_a_time: jobs that run at once.
    """
    pending = plan.having(*PENDING)
    lines = [
        f"{counted(len(plan.cells), 'cell')}: {len(plan.having('finished'))} finished, {len(pending)} to run "
        f"({len(plan.having('unfinished'))} to resume, {len(plan.having('failed'))} to retry), "
        f"{counted(len(plan.having('duplicate')), 'duplicate')}, {len(plan.having('invalid'))} invalid"
    ]
    if pending and not plan.having("invalid"):
        disk = sum(planned.disk_bytes for planned in pending)
        lines.append(f"{_time_line(jobs_of(pending), at_a_time)}; {disk / 1e9:.2f} GB of disk")
    lines += [f"duplicate: {planned.name} is {planned.message}" for planned in plan.having("duplicate")]
    lines += [f"invalid: {planned.name}\n  {planned.message}" for planned in plan.having("invalid")]
    return lines


def _time_line(jobs: Sequence[Sequence[PlannedCell]], at_a_time: int) -> str:
    """How long the jobs take, as far as finished runs of their kinds tell."""
    at_once = min(at_a_time, len(jobs))
    shared = f" with {at_once} at a time" if at_once > 1 else ""
    grouped = sum(len(job) > 1 for job in jobs)
    shared += f", {counted(grouped, 'job')} of several seeds" if grouped else ""
    cells = [planned for job in jobs for planned in job]
    unknown = sum(planned.remaining_s is None for planned in cells)
    if unknown == len(cells):
        return f"how long it takes is not known{shared}: no run of the same kind is finished"
    seconds = [sum(planned.remaining_s or 0.0 for planned in job) for job in jobs]
    longest = max(*seconds, sum(seconds) / at_once)  # the last job ends no sooner than it takes by itself
    rest = f" without {counted(unknown, 'cell')} of whose kind no run is finished" if unknown else ""
    return f"it takes about {duration(longest)}{shared}{rest}"
