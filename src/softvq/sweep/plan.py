"""What a sweep is going to do, before it does anything: cells composed, checked, counted and estimated.

`softvq plan OVERRIDES` shows the plan of `softvq train -m OVERRIDES` and starts nothing.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from softvq.config.compose import built_network
from softvq.console import duration
from softvq.data.prepared import prepared_info
from softvq.run.cell import Cell
from softvq.run_folder import RunFolder
from softvq.sweep.workers import Call

PENDING = ("new", "unfinished", "failed")
FIGURE_BYTES = 1_000_000
MEASURED_STEPS = 10


@dataclass
class PlannedCell:
    """A cell of the sweep: its overrides, and what was found of it.

    Attributes:
        state: `finished`, `unfinished`, `failed`, `new`, `duplicate` or `invalid`.
        message: why it is invalid, or whose duplicate it is.
        remaining_s: estimated seconds of training and probing; None where nothing is known.
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
    call: Call,
) -> Plan:
    """Composes and checks every cell.

    Args:
        cells: each cell's overrides.
        read: composes one cell.
        explain: turns what composing some overrides raised into a message with the way out.
        call: calls what needs torch.
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
                planned.state, planned.message = "duplicate", f"the same cell as {first.name}"
                continue
            info = prepared_info(cell.source(), cell.config.data.root)
            planned.state = cell.state(None if info is None else cell.settings(info))
        except Exception as error:
            planned.state, planned.message = "invalid", explain(error, overrides)
    pending = plan.having(*PENDING)
    if pending:
        _check_models(pending, call)
        if not plan.having("invalid"):  # else nothing is going to run
            _estimate(plan.having(*PENDING), call)
    return plan


def _check_models(pending: list[PlannedCell], call: Call) -> None:
    """Builds every model without memory for it, so that settings that do not fit show now.

    Seeds make no difference to that: one cell stands for those that differ in nothing else.
    """
    groups: dict[tuple[str, ...], list[PlannedCell]] = {}
    for planned in pending:
        groups.setdefault(tuple(o for o in planned.overrides if not o.startswith("seed=")), []).append(planned)
    checked = call(_check, [cell_of(group[0]) for group in groups.values()], len(jobs_of(pending)))
    for group, (fault, parameters) in zip(groups.values(), checked, strict=True):
        for planned in group:
            if fault:
                planned.state, planned.message = "invalid", fault
            else:
                # Weights and Adam's two moments, four bytes each.
                planned.disk_bytes = 3 * 4 * parameters + FIGURE_BYTES


def cell_of(planned: PlannedCell) -> Cell:
    """The cell of one that composed."""
    assert planned.cell is not None
    return planned.cell


def _check(cell: Cell) -> tuple[str, int]:
    """What does not fit in a cell, if anything, and how many parameters its model has."""
    import torch

    from softvq.run.build import build_data, build_model, build_optimizer

    try:
        with torch.device("meta"):
            model = build_model(cell.config, cell.source().image_shape(), pixel_variance=1.0)
        build_data(cell.config)
    except (ValueError, InstantiationException) as error:
        return str(error), 0
    try:
        build_optimizer(cell.config)([torch.nn.Parameter(torch.zeros(1))])
    except Exception as error:  # an optimiser's constructor raises whatever it likes
        return f"optimizer: {str(error).splitlines()[0]}", 0
    return "", sum(parameter.numel() for parameter in model.parameters())


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


def _estimate(pending: list[PlannedCell], call: Call) -> None:
    """Time from past runs of the same kind on this data root, else from a few measured steps.

    Seeds that are trained at once are measured as if they were not; on a CPU they take longer than that.
    """
    past = _past_speeds({cell_of(planned).folder.path for planned in pending})
    jobs = [job for job in jobs_of(pending) if cell_of(job[0]).config.trainer.max_steps]
    unknown: dict[tuple[Any, ...], Cell] = {}
    for job in jobs:
        cell = cell_of(job[0])
        kind = _kind(cell)
        if not {(*kind, len(job)), (*kind, 1)} & past.keys():
            unknown[kind] = cell
    for job in jobs:
        cell = cell_of(job[0])
        kind = _kind(cell)
        alone = past.get((*kind, 1), 0.0)
        speed = past.get((*kind, len(job))) or alone / len(job)  # of the job, all of whose cells share its time
        for planned in job:
            planned.remaining_s = cell.config.trainer.max_steps / speed / len(job) if speed else None
    for planned in pending:
        planned.remaining_s = planned.remaining_s or 0.0


def _kind(cell: Cell) -> tuple[Any, ...]:
    config = cell.config
    network = built_network(config, cell.choices["network"])
    return (network, config.data.name, *_decisive(config))


def _past_speeds(folders: set[Path]) -> dict[tuple[Any, ...], float]:
    """Steps per second of finished runs beside the planned ones, by kind and by how many were trained at once."""
    speeds: dict[tuple[Any, ...], list[float]] = {}
    for data_folder in {folder.parents[1] for folder in folders}:
        for file in data_folder.glob("*/*/metrics.json"):
            try:
                metrics = json.loads(file.read_text())
                config: Any = OmegaConf.load(RunFolder(file.parent).config)
                speed = metrics["time"]["steps_per_s"]
                provenance = metrics["provenance"]
                kind = (provenance["network"], metrics["data"], *_decisive(config), provenance.get("seeds_at_once", 1))
            except (ValueError, KeyError, TypeError, AttributeError, OSError):
                continue  # a foreign file is no basis for an estimate
            if speed:
                speeds.setdefault(kind, []).append(speed)
    return {kind: median(values) for kind, values in speeds.items()}


def _decisive(config: DictConfig) -> tuple[Any, ...]:
    """What else decides how fast a network trains on some data."""
    trainer = config.trainer
    return (config.data.batch_size, trainer.threads, trainer.accelerator, trainer.precision)


def plan_table(plan: Plan) -> Table:
    """The plan, one row a cell."""
    table = Table(title=f"{len(plan.cells)} cells")
    for column in ("cell", "state", "steps", "estimate", "disk"):
        table.add_column(column, justify="left" if column in ("cell", "state") else "right", overflow="fold")
    for planned in plan.cells:
        steps = str(planned.cell.config.trainer.max_steps) if planned.cell else "-"
        estimate = "-" if planned.remaining_s is None else duration(planned.remaining_s)
        disk = f"{planned.disk_bytes / 1e6:.0f} MB" if planned.disk_bytes else "-"
        table.add_row(planned.name, planned.state, steps, estimate, disk)
    return table


def summary_lines(plan: Plan, jobs: int) -> list[str]:
    """What the plan comes to, in a few lines."""
    pending = plan.having(*PENDING)
    to_run = jobs_of(pending)
    seconds = [sum(planned.remaining_s or 0 for planned in job) for job in to_run]
    at_once = min(jobs, len(to_run))
    disk = sum(planned.disk_bytes for planned in pending)
    lines = [
        f"{len(plan.cells)} cells: {len(plan.having('finished'))} finished, {len(pending)} to run "
        f"({len(plan.having('unfinished'))} to resume, {len(plan.having('failed'))} to retry), "
        f"{len(plan.having('duplicate'))} duplicates, {len(plan.having('invalid'))} invalid"
    ]
    if pending:
        shared = f" with {at_once} at a time" if at_once > 1 else ""
        grouped = sum(len(job) > 1 for job in to_run)
        shared += f", {grouped} jobs of several seeds" if grouped else ""
        longest = max(*seconds, sum(seconds) / at_once)  # the last job ends no sooner than it takes by itself
        lines.append(f"training takes about {duration(longest)}{shared}; {disk / 1e9:.2f} GB of disk")
    lines += [f"duplicate: {planned.name} is {planned.message}" for planned in plan.having("duplicate")]
    lines += [f"invalid: {planned.name}\n  {planned.message}" for planned in plan.having("invalid")]
    return lines
