"""What `metrics.json` says of a run: its numbers, and what they depend on. `run/train.py` writes it."""

import platform
import shlex
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Timer
from omegaconf import OmegaConf

from softvq.config.compose import built_network
from softvq.config.identity import config_hash, result_settings
from softvq.data.module import ImageData
from softvq.run.agreement import FINISHED, STOPPED_EARLY
from softvq.run.cell import Cell
from softvq.training.saving import ResumeCheckpoint


@dataclass(frozen=True)
class Session:
    """How runs were trained.

    Attributes:
        commit: of the code when this session began; another one may be checked out by the end.
        start: when this session began, local time with its offset.
        threads: of torch and the probes.
        trainer: Lightning's.
        checkpoint: the callback that measured how long training took.
        at_once: how many seeds were trained together.
    """

    commit: str | None
    start: str
    threads: int
    trainer: L.Trainer
    checkpoint: ResumeCheckpoint
    at_once: int


def describe(cell: Cell, data: ImageData, parameters: int, probed: dict[str, Any], session: Session) -> dict[str, Any]:
    """The content of a run's `metrics.json`.

    Args:
        cell: that was run.
        data: what it was trained and probed on.
        parameters: how many numbers the model learned.
        probed: what the probes found.
        session: how it was trained.
    """
    config, choices, info, trainer = cell.config, cell.choices, data.arrays.info, session.trainer
    resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    results = dict(probed)
    probe_s = results.pop("probe_s", None)
    stopped = {} if trainer.global_step >= trainer.max_steps else {"stopped_by": _who_stopped(trainer)}
    return {
        "status": STOPPED_EARLY if stopped else FINISHED,
        **stopped,
        "bottleneck": choices["bottleneck"],
        "data": info.name,
        "seed": config.seed,
        "fidelity": config.fidelity,
        "steps": trainer.global_step,
        "config_hash": config_hash(result_settings(resolved, info.sha256)),
        "hyperparameters": cell.hyperparameters,
        "parameters": parameters,
        **results,
        "protocol": resolved["probes"],
        "provenance": {
            "commit": session.commit,
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "host": platform.node(),
            "start": session.start,
            "versions": {name: version(name) for name in ("softvq", "torch", "lightning", "scikit-learn", "numpy")},
            "data": info.provenance(),
            "network": built_network(config, choices["network"]),
            "device": device_name(trainer),
            "devices": trainer.world_size,
            "threads": session.threads,
            "seeds_at_once": session.at_once,
        },
        "time": {
            "fit_s": session.checkpoint.trained_s,
            "steps_per_s": session.checkpoint.steps_per_s,
            "probe_s": probe_s,
        },
    }


def _who_stopped(trainer: L.Trainer) -> str:
    """The callbacks that ended a training before `trainer.max_steps`, by their classes' names.

    Lightning's own callbacks say whether they did. Others do not, so each of them is named.
    """
    others = [callback for callback in trainer.callbacks if not _is_ours(callback)]  # type: ignore[attr-defined]
    certain = [callback for callback in others if _says_that_it_stopped(callback)]
    return ", ".join(type(callback).__name__ for callback in certain or others) or "unknown"


def _says_that_it_stopped(callback: L.Callback) -> bool:
    if isinstance(callback, Timer):
        left = callback.time_remaining()
        return left is not None and left <= 0
    return bool(getattr(callback, "stopping_reason_message", None))  # of EarlyStopping


def _is_ours(callback: L.Callback) -> bool:
    return type(callback).__module__.startswith("softvq.")


def device_name(trainer: L.Trainer) -> str:
    """The accelerator that trained, in its vendor's words; `cpu` without one."""
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
