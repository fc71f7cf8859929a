"""What a sweep is going to do, before it does anything: cells composed, checked, counted and estimated.

`softvq plan OVERRIDES` shows the plan of `softvq train -m OVERRIDES` and starts nothing.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from softvq.config.identity import differences, result_settings
from softvq.console import screen
from softvq.data.prepared import prepared_info
from softvq.run.cell import Cell
from softvq.run_folder import DamagedFileError
from softvq.sweep.estimate import past_runs
from softvq.sweep.workers import Call, X, Y

PENDING = ("new", "unfinished", "failed")
FIGURE_BYTES = 1_000_000
CHECK_ROUNDS = 3  # how often the check of models is begun anew when a worker dies


@dataclass
class PlannedCell:
    """A cell of the sweep: its overrides, and what was found of it.

    Attributes:
        state: `finished`, `unfinished`, `failed`, `new`, `duplicate` or `invalid`.
        message: why it is invalid, or which cell it is a duplicate of.
        remaining_s: estimated seconds until it is done; None where no finished run tells.
        disk_bytes: estimated size of its folder.
    """

    overrides: Sequence[str]
    cell: Cell | None = None
    state: str = "new"
    message: str = ""
    remaining_s: float | None = None
    disk_bytes: int = 0

    @property
    def name(self) -> str:
        """The overrides as they would be typed."""
        return " ".join(self.overrides)


@dataclass
class Plan:
    """All cells of a sweep, in order."""

    cells: list[PlannedCell] = field(default_factory=list)

    def having(self, *states: str) -> list[PlannedCell]:
        """The cells in one of the states."""
        return [cell for cell in self.cells if cell.state in states]


def make_plan(
    cells: Sequence[Sequence[str]],
    read: Callable[[Sequence[str]], Cell],
    explain: Callable[[Exception, Sequence[str]], str],
    call_of: Callable[[int], Call],
    on_this_machine: bool = True,
) -> Plan:
    """Composes and checks every cell.

    Args:
        cells: each cell's overrides.
        read: composes one cell.
        explain: turns what composing some overrides raised into a message with the way out.
        call_of: for a number of jobs, calls what needs torch.
        on_this_machine: whether the cells are going to run here, so that it must have what they ask for.
    """
    plan = Plan()
    seen: dict[Path, PlannedCell] = {}
    for overrides in cells:
        planned = PlannedCell(overrides)
        plan.cells.append(planned)
        try:
            cell = planned.cell = read(overrides)
            first = seen.setdefault(cell.folder.path, planned)
            if first is not planned:
                _compare(planned, first)
                continue
            info = prepared_info(cell.source(), cell.config.data.root)
            planned.state = cell.state(None if info is None else cell.settings(info))
        except DamagedFileError:  # running the cell says what is wrong with its folder; the others go on
            planned.state = "failed"
        except Exception as error:
            planned.state, planned.message = "invalid", explain(error, overrides)
    pending = plan.having(*PENDING)
    if pending:
        _check_models(pending, call_of(len(jobs_of(pending))), on_this_machine)
        if not plan.having("invalid"):  # else nothing is going to run
            _estimate(pending)
    return plan


def _compare(planned: PlannedCell, first: PlannedCell) -> None:
    """Compares a cell with an earlier one of the same folder: a duplicate, or invalid as the folder is taken."""
    changes = differences(_decisive(cell_of(first)), _decisive(cell_of(planned)))
    if not changes:
        planned.state, planned.message = "duplicate", f"the same cell as {first.name}"
        return
    lines = [f"{cell_of(first).folder.path} is also the folder of {first.name}, but they differ:", *changes]
    lines.append("Name what differs, so that each has a folder of its own: data.name=LABEL, or hydra.sweep.subdir=NAME")
    planned.state, planned.message = "invalid", "\n    ".join(lines)


def _decisive(cell: Cell) -> dict[str, Any]:
    """What decides a cell's result before its images are read: the settings, and where the images come from."""
    resolved: Any = OmegaConf.to_container(cell.config, resolve=True)
    data = {key: value for key, value in resolved["data"]["source"].items() if key != "verify"}
    return {**result_settings(resolved, ""), "images": data}


def _check_models(pending: Sequence[PlannedCell], call: Call, on_this_machine: bool) -> None:
    """Builds every model without memory for it, so that settings that do not fit show now.

    Seeds make no difference to that: one cell stands for those that differ in nothing else.
    """
    groups: dict[tuple[str, ...], list[PlannedCell]] = {}
    for planned in pending:
        groups.setdefault(tuple(o for o in planned.overrides if not o.startswith("seed=")), []).append(planned)
    check = partial(_check, on_this_machine)
    checked = _call_again(call, check, [cell_of(group[0]) for group in groups.values()])
    if len(checked) < len(groups):
        screen.print_warning("workers died while models were checked; the sweep goes on without the rest of the check")
    for number, group in enumerate(groups.values()):
        fault, parameters = checked.get(number, ("", 0))
        for planned in group:
            if fault:
                planned.state, planned.message = "invalid", fault
            else:
                # Weights and Adam's two moments, four bytes each.
                planned.disk_bytes = 3 * 4 * parameters + FIGURE_BYTES


def _call_again(call: Call, function: Callable[[X], Y], arguments: Sequence[X]) -> dict[int, Y]:
    """The values by number of their argument; where workers die, what is missing is asked for a few times more."""
    values: dict[int, Y] = {}
    for _ in range(CHECK_ROUNDS):
        missing = [number for number in range(len(arguments)) if number not in values]
        try:
            for number, value in call(function, [arguments[number] for number in missing]):
                values[missing[number]] = value
            break
        except Exception as error:  # joblib's, when a worker has died; the function itself raises nothing
            screen.note(f"{type(error).__name__}: {error}")
    return values


def cell_of(planned: PlannedCell) -> Cell:
    """The cell of a planned cell whose settings compose."""
    assert planned.cell is not None
    return planned.cell


def _check(on_this_machine: bool, cell: Cell) -> tuple[str, int]:
    """What does not fit in a cell, if anything, and how many parameters its model has."""
    from softvq.run.check import check_cell

    try:
        return "", check_cell(cell, on_this_machine)
    except ValueError as error:
        return str(error), 0


def jobs_of(pending: Sequence[PlannedCell]) -> list[list[PlannedCell]]:
    """What is launched together: up to `trainer.seeds_per_process` cells that differ in nothing but the seed.

    Returns:
        Jobs in the order of their first cells; a cell that is not trained is a job by itself.
    """
    jobs: list[list[PlannedCell]] = []
    unfilled: dict[str, list[PlannedCell]] = {}
    for planned in pending:
        config = cell_of(planned).config
        if config.trainer.seeds_per_process == 1 or not config.trainer.max_steps:
            jobs.append([planned])
            continue
        but_seed = config.copy()
        but_seed.seed = 0
        alike = json.dumps([OmegaConf.to_container(but_seed, resolve=True), cell_of(planned).choices], sort_keys=True)
        job = unfilled.get(alike)
        if job is None or len(job) == config.trainer.seeds_per_process:
            job = unfilled[alike] = []
            jobs.append(job)
        job.append(planned)
    return jobs


def _estimate(pending: Sequence[PlannedCell]) -> None:
    past = past_runs(cell_of(planned).folder.path for planned in pending)
    for job in jobs_of(pending):
        for planned in job:
            planned.remaining_s = past.seconds(cell_of(planned), len(job))
