"""Checkpoints: what a run resumes from, what they say of themselves, and when they are written."""

import math
import os
import pickle
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from torch import nn

from softvq import stop
from softvq.bounded_files import UnreadableFileError, opened, printable
from softvq.machine import memory
from softvq.run_folder import PREVIOUS, DamagedFileError, whole
from softvq.training.checkpoint_content import FORMAT, fault_of, other_optimizer, other_weights
from softvq.training.replicas import stacked_state, state_of_member

WARM_UP_STEPS = 50
AGREED_STEPS = 10  # between two times at which the processes of several devices ask the first whether to save
STACKED, SINGLE = "net.stacked.model.", "net."  # before an autoencoder's own names of weights, in the module


@dataclass(frozen=True)
class Identity:
    """The run that a checkpoint belongs to."""

    config_hash: str
    seed: int


class ForeignCheckpointError(ValueError):
    """A checkpoint that belongs to another run."""

    def __init__(self, path: Path, key: str, found: Any, expected: Any) -> None:
        its, this = printable(str(found)), printable(str(expected))
        super().__init__(
            f"{path} is of another run: its {key} is {its}, this run's is {this}; "
            "choose another folder (hydra.run.dir=PATH) or start over with resume=never"
        )


def read_checkpoint(path: Path, identity: Identity | None = None) -> dict[str, Any]:
    """What a checkpoint holds.

    Nothing in it is executed, and every byte has been compared with the checksums of the file's own records.

    Args:
        path: of the file.
        identity: what it must belong to; None takes any.

    Raises:
        DamagedFileError: if it is not what a run writes.
        ForeignCheckpointError: if it belongs to something else.
    """
    try:
        with opened(path) as file:
            if (size := os.fstat(file.fileno()).st_size) > memory():
                raise DamagedFileError(path, f"its {size:,} bytes are more than this machine's memory")
            with zipfile.ZipFile(file) as records:
                if any(record.compress_type != zipfile.ZIP_STORED for record in records.infolist()):
                    raise DamagedFileError(path, "its records are compressed, which no run does")
                if damaged := records.testzip():
                    raise DamagedFileError(path, f"the checksum of its record {printable(damaged)} does not match")
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (FileNotFoundError, DamagedFileError):
        raise
    except UnreadableFileError as error:
        raise DamagedFileError(path, error.reason) from error
    except pickle.UnpicklingError as error:
        reason = "it holds something else than numbers and names, which could run a program and is not loaded"
        raise DamagedFileError(path, reason) from error
    except Exception as error:  # strange bytes make torch raise anything
        reason = printable(str(error).splitlines()[0]) if str(error) else type(error).__name__
        raise DamagedFileError(path, reason) from error
    if fault := fault_of(content):
        raise DamagedFileError(path, fault)
    if "run" in content and identity is not None:
        for key, expected in asdict(identity).items():
            if content["run"].get(key) != expected:
                raise ForeignCheckpointError(path, key, content["run"].get(key), expected)
    return content


def check_weights(path: Path, checkpoint: Mapping[str, Any], model: nn.Module) -> None:
    """Refuses the weights of another model.

    Raises:
        DamagedFileError: naming the first one that is missing, has another shape or kind, or is too many.
    """
    if fault := other_weights(checkpoint["state_dict"], model):
        raise DamagedFileError(path, fault)


@dataclass(frozen=True)
class Generations:
    """The two newest checkpoints of a run: the one before is kept in case the last cannot be read."""

    last: Path

    @property
    def previous(self) -> Path:
        """The file of the checkpoint before the last."""
        return self.last.with_name(PREVIOUS)

    def readable(self, identity: Identity, tell: Callable[[str], None]) -> dict[int, Path]:
        """Step -> file of those that can be read, the newest first.

        Args:
            identity: what they must belong to.
            tell: is told why one cannot be read, if another can.

        Raises:
            DamagedFileError: if there are files and none can be read.
            ForeignCheckpointError: if one belongs to another run.
        """
        found: dict[int, Path] = {}
        faults: list[DamagedFileError] = []
        for path in (self.last, self.previous):
            if path.exists():
                try:
                    found.setdefault(int(read_checkpoint(path, identity)["global_step"]), path)
                except DamagedFileError as error:
                    faults.append(error)
        if faults and not found:
            raise faults[0]
        for fault in faults:
            tell(f"{fault.path}: {fault.reason}; going on from the checkpoint before it")
        return found

    def write(self, content: dict[str, Any]) -> None:
        """Makes `content` the last one and the last one the previous one; each is whole or absent at any time.

        Raises:
            UnwritableError: if the disk is full; the checkpoints that are there stay.
        """
        with whole(self.last, former=self.previous) as partial, partial.open("wb") as file:
            torch.save(content, file)


class RunCheckpoints(CheckpointIO):
    """Writes a checkpoint of the training module as one file for each run that is trained in it, and reads them back.

    Each file is what a run of that seed alone would have written, from which it can go on alone.

    Args:
        runs: the files of each member, and the run that they must belong to.
        models: the members, whose weights are loaded.
        alive: returns the numbers of the members whose training goes on; the files of a failed one stay as they are.
        resume_from: file of each member to go on from; empty to begin.
    """

    def __init__(
        self,
        runs: Sequence[tuple[Generations, Identity]],
        models: Sequence[nn.Module],
        alive: Callable[[], Sequence[int]],
        resume_from: Sequence[Path],
    ) -> None:
        self.runs, self.models, self.alive, self.resume_from = runs, models, alive, resume_from

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        for s in self.alive():
            generations, identity = self.runs[s]
            own = checkpoint_of_member(checkpoint, s)
            own["run"] = {"format": FORMAT, "step": own["global_step"], **asdict(identity)}
            generations.write(own)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The members' checkpoints as one of the module, checked.

        Lightning restores what it holds: weights, loops, callbacks, and the optimiser with its learning rates.
        """
        members = []
        for own, (_, identity), model in zip(self.resume_from, self.runs, self.models, strict=True):
            members.append(read_checkpoint(own, identity))
            check_weights(own, members[-1], model)
            if fault := other_optimizer(members[-1]["optimizer_states"], model, members[-1]["global_step"]):
                raise DamagedFileError(own, fault)
        return checkpoint_of_module(members)

    def remove_checkpoint(self, path: str | Path) -> None:
        for generations, _ in self.runs:
            generations.last.unlink(missing_ok=True)


def checkpoint_of_member(checkpoint: Mapping[str, Any], s: int) -> dict[str, Any]:
    """The part of the module's checkpoint that is member s, under the autoencoder's own names."""
    stacked = any(name.startswith(STACKED) for name in checkpoint["state_dict"])
    if stacked:
        weights = {name.removeprefix(STACKED): w[s].clone() for name, w in checkpoint["state_dict"].items()}
        optimizers = [state_of_member(optimizer, s) for optimizer in checkpoint["optimizer_states"]]
    else:
        weights = {name.removeprefix(SINGLE): w for name, w in checkpoint["state_dict"].items()}
        optimizers = checkpoint["optimizer_states"]
    rest = {key: value for key, value in checkpoint.items() if key != "curves"}
    return {**rest, "state_dict": weights, "optimizer_states": optimizers, "curve": checkpoint["curves"][s]}


def checkpoint_of_module(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The module's checkpoint, put together from its members', which are of the same step."""
    first = members[0]
    if len(members) == 1:
        weights = {f"{SINGLE}{name}": w for name, w in first["state_dict"].items()}
        optimizers = first["optimizer_states"]
    else:
        weights = {
            f"{STACKED}{name}": torch.stack([member["state_dict"][name] for member in members])
            for name in first["state_dict"]
        }
        optimizers = [
            stacked_state([member["optimizer_states"][number] for member in members])
            for number in range(len(first["optimizer_states"]))
        ]
    curves = [_curve(member["curve"]) for member in members]
    return {**first, "state_dict": weights, "optimizer_states": optimizers, "curves": curves}


def _curve(state: Any) -> dict[str, Any]:
    if isinstance(state, Mapping):
        return dict(state)
    sums, steps = state  # format 1
    return {"sums": sums, "steps": steps, "statistics": {}}


class ResumeCheckpoint(L.Callback):
    """Saves after some seconds of training, then at intervals that grow with the run, and at the end.

    Args:
        path: handed to Lightning, which names no other; `RunCheckpoints` knows where the files go.
        after_s: seconds of training before the first.
        every_s: seconds between two, at least.
        time_fraction: part of the time trained so far between two, at least.
        where: returns how far the run is and where it goes on from, for a person who stops it.

    Attributes:
        trained_s: seconds of training, earlier sessions included.
        steps_per_s: from step 50 of this session to its last.
        began: whether the first batch has begun: by then everything in the checkpoint has been loaded.
    """

    def __init__(
        self, path: Path, after_s: float, every_s: float, time_fraction: float, where: Callable[[], str]
    ) -> None:
        self.path, self.where = path, where
        self.after_s, self.every_s, self.time_fraction = after_s, every_s, time_fraction
        self.trained_s = 0.0
        self.steps_per_s: float | None = None
        self.began = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        stop.take_over()  # from Lightning, which ends a run on SIGTERM without saving it
        self.began = True
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
        due, signum = self._decide(trainer)
        if due or signum:
            trainer.save_checkpoint(self.path)
            self._next_save = self.trained_s + max(self.every_s, self.time_fraction * self.trained_s)
        if signum:
            raise stop.Stopped(signum, self.where())

    def _decide(self, trainer: L.Trainer) -> tuple[bool, int | None]:
        """Whether to save now, and by which signal the process was told to stop, if it was.

        The first process decides for all devices: by its own clock, one would save while others waited for its step.
        """
        decision = (self.trained_s >= self._next_save, stop.requested())
        if trainer.world_size == 1:
            return decision
        return trainer.strategy.broadcast(decision) if trainer.global_step % AGREED_STEPS == 0 else (False, None)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"trained_s": self.trained_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        trained_s = state_dict["trained_s"]
        if not isinstance(trained_s, float) or not 0 <= trained_s < math.inf:
            raise TypeError(f"trained_s is {trained_s!r}, no number of seconds")
        self.trained_s = trained_s
