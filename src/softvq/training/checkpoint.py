"""Checkpoints by the clock, for resuming; and how long and how fast a run trained."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from softvq.run_folder import DamagedFileError
from softvq.training.replicas import checkpoint_of_member, checkpoint_of_replicas

WARM_UP_STEPS = 50
AGREED_STEPS = 10  # between two questions of several devices' processes to the first of them


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, its arrays mapped from the file.

    Raises:
        DamagedFileError: if it is not what a run writes.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=False, mmap=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises whatever unpickling strange bytes comes upon
        raise DamagedFileError(path, f"{type(error).__name__}: {error}".splitlines()[0]) from error
    if not isinstance(content, dict) or "state_dict" not in content or "global_step" not in content:
        raise DamagedFileError(path, "it holds no trained model")
    return content


class ResumeCheckpoint(L.Callback):
    """Writes `last.ckpt` after some seconds of training, then at intervals that grow with the run, and at the end.

    Args:
        path: of the checkpoint.
        after_s: seconds of training before the first.
        every_s: seconds between two, at least.
        time_fraction: part of the time trained so far between two, at least.
    """

    def __init__(self, path: Path, after_s: float, every_s: float, time_fraction: float) -> None:
        self.path = path
        self.after_s, self.every_s, self.time_fraction = after_s, every_s, time_fraction
        self.trained_s = 0.0  # seconds of training, earlier sessions included
        self.steps_per_s: float | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._clock = time.perf_counter()
        self._next_save = self.trained_s + (self.every_s if self.trained_s else self.after_s)
        self._warm: tuple[float, int] | None = None

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        now = time.perf_counter()
        self.trained_s, self._clock = self.trained_s + now - self._clock, now
        step = trainer.global_step
        if self._warm is None:
            self._warm = (now, step) if step >= WARM_UP_STEPS else None
        elif step > self._warm[1]:
            self.steps_per_s = (step - self._warm[1]) / (now - self._warm[0])

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        # Not at the end of the batch before: its validation came after that, and a resumed run would not repeat it.
        if self._due(trainer):
            self._save(trainer)
            self._next_save = self.trained_s + max(self.every_s, self.time_fraction * self.trained_s)

    def _due(self, trainer: L.Trainer) -> bool:
        """Whether to save now. Processes whose clocks disagree would wait for one another: the first one's counts."""
        due = self.trained_s >= self._next_save
        if trainer.world_size == 1:
            return due
        return trainer.global_step % AGREED_STEPS == 0 and trainer.strategy.broadcast(due)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"trained_s": self.trained_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.trained_s = state_dict["trained_s"]


class WholeFile(TorchCheckpointIO):
    """A checkpoint written to a neighbour's name and renamed, so that it is whole or absent.

    Lightning's own way builds the whole file in memory first, which takes three times as long.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        torch.save(checkpoint, partial)
        partial.replace(path)


class MemberFiles(CheckpointIO):
    """The checkpoint of replicas as one ordinary checkpoint for each member, from which it could go on alone.

    Args:
        paths: of each member's; Lightning knows of the first alone.
        alive: tells the members whose training goes on; what a failed one has is left as it is.
    """

    def __init__(self, paths: Sequence[Path], alive: Callable[[], Sequence[int]]) -> None:
        self.paths, self.alive = paths, alive
        self.file = WholeFile()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        for s in self.alive():
            self.file.save_checkpoint(checkpoint_of_member(checkpoint, s), self.paths[s], storage_options)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        members = [self.file.load_checkpoint(own, map_location, weights_only) for own in self.paths]
        return checkpoint_of_replicas(members)

    def remove_checkpoint(self, path: str | Path) -> None:
        for own in self.paths:
            self.file.remove_checkpoint(own)
