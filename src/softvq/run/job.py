"""What Hydra calls for each job: one cell, or several seeds of one that are trained at once."""

from dataclasses import replace
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from softvq.run.cell import Cell, Outcome, read_cell
from softvq.run.complete import complete, record_failure
from softvq.run.process import RANK, belong_to_sweep, told_to_stop
from softvq.run_folder import RunFolder


def run_job(config: DictConfig) -> list[Outcome]:
    """Trains, probes and records the cells of a job, or as much of that as is missing.

    A job of a sweep never raises: whatever went wrong is in its outcomes and in each cell's `failure.json`.

    Raises:
        SystemExit: with status 1, if a single run failed.
    """
    hydra: Any = HydraConfig.get()
    in_sweep = not OmegaConf.is_missing(hydra.job, "num")
    if in_sweep:
        belong_to_sweep(hydra.launcher)
    folder = RunFolder(hydra.runtime.output_dir)
    members: Any = OmegaConf.to_container(config.trainer.members) if config.trainer.members else {}
    folders = [RunFolder(path) for path in members.values()] or [folder]
    try:
        cell = read_cell(config, hydra, folder.path, hydra.launcher if in_sweep else None)
        if RANK:
            return _help(cell)
        outcomes = complete(_members(cell, members))
    except Exception as error:
        outcomes = [record_failure(own, error) for own in folders]
    except SystemExit as error:
        if not in_sweep:
            raise
        if told_to_stop(error):
            raise KeyboardInterrupt from error
        failure = RuntimeError(f"the cell exited with status {error.code}")
        outcomes = [record_failure(own, failure) for own in folders]
    if not in_sweep and any(outcome.status == "failed" for outcome in outcomes):
        raise SystemExit(1)
    return outcomes


def _help(cell: Cell) -> list[Outcome]:
    """Trains along in a further process of several devices; the first process records the run."""
    from softvq.run.train import train

    for _, metrics in train([cell]):
        if isinstance(metrics, Exception):
            raise metrics
    return []


def _members(cell: Cell, members: dict[int, str]) -> list[Cell]:
    """The cells of a job of several seeds, each as if it had been read by itself."""
    if not members:
        return [cell]
    cells = []
    for seed, path in members.items():
        config = cell.config.copy()
        config.seed, config.trainer.members = seed, None
        cells.append(replace(cell, config=config, folder=RunFolder(path)))
    return cells
