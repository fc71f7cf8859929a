"""What Hydra calls for each job: one cell, or several seeds of one that are trained at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from softvq import stop
from softvq.run.cell import Cell, Outcome, read_cell
from softvq.run.complete import complete, record_failure
from softvq.run.sweep_message import belong_to_sweep, left_by_submitit, message_of_sweep
from softvq.run_folder import RunFolder


def run_job(config: DictConfig) -> list[Outcome]:
    """Trains, probes and records the cells of a job, or as much of that as is missing.

    A job of a sweep never raises: whatever went wrong is in its outcomes and in each cell's `failure.json`.

    Raises:
        SystemExit: with status 1, if a single run failed.
        Stopped: if a single run was told to stop.
    """
    hydra: Any = HydraConfig.get()
    in_sweep = not OmegaConf.is_missing(hydra.job, "num")
    message = message_of_sweep(hydra) if in_sweep else None
    if message is not None:
        belong_to_sweep(message, hydra.launcher)
    folder = RunFolder(hydra.runtime.output_dir)
    seeds = message.seeds if message is not None else {}
    folders = [RunFolder(path) for path in seeds.values()] or [folder]
    try:
        with stop.raised():
            cell = read_cell(config, hydra, folder.path, hydra.launcher if in_sweep else None)
            outcomes = complete(_members(cell, seeds))
    except (Exception, SystemExit, stop.Stopped) as error:
        outcomes = _ended_by(error, folders, in_sweep)
    if not in_sweep and any(outcome.status == "failed" for outcome in outcomes):
        raise SystemExit(1)
    return outcomes


def _ended_by(error: BaseException, folders: Sequence[RunFolder], in_sweep: bool) -> list[Outcome]:
    """The outcomes of cells that an exception has ended.

    Raises:
        Stopped: if a single run was told to stop.
        SystemExit: if a single run ended with it, or if submitit has queued the job anew and ends this process.
    """
    if signum := stop.requested():
        stopped = error if isinstance(error, stop.Stopped) else stop.Stopped(signum)  # a library raised its own
        if not in_sweep:
            raise stopped from None
        return [Outcome("stopped", str(own.path), stopped.where) for own in folders]
    if isinstance(error, SystemExit):
        if not in_sweep or left_by_submitit(error):
            raise error
        error = RuntimeError(f"the cell exited with status {error.code}")
    assert isinstance(error, Exception)
    return [record_failure(own, error) for own in folders]


def _members(cell: Cell, seeds: Mapping[int, str]) -> list[Cell]:
    """The cells of a job of several seeds, each as if it had been read by itself."""
    if not seeds:
        return [cell]
    cells = []
    for seed, path in seeds.items():
        config = cell.config.copy()
        config.seed = seed
        cells.append(replace(cell, config=config, folder=RunFolder(path)))
    return cells
