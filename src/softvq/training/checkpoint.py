"""Checkpoints: the files that a run resumes from, and what they say of themselves."""

import os
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from torch import nn

from softvq.bounded_files import UnreadableFileError, first_line, opened, printable
from softvq.durable_files import whole
from softvq.machine import memory
from softvq.run_folder import PREVIOUS, DamagedFileError
from softvq.training.checkpoint_content import FORMAT, fault_of, other_optimizer, other_weights
from softvq.training.replicas import stacked_state, state_of_member

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
    except DamagedFileError:
        raise
    except FileNotFoundError as error:
        raise DamagedFileError(path, "it is missing") from error
    except UnreadableFileError as error:
        raise DamagedFileError(path, error.reason) from error
    except pickle.UnpicklingError as error:
        reason = "it holds something else than numbers and names, which could run a program and is not loaded"
        raise DamagedFileError(path, reason) from error
    except Exception as error:  # strange bytes make torch raise anything
        raise DamagedFileError(path, first_line(error)) from error
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
            instead = "going on from the checkpoint before it" if fault.path == self.last else "the last one is whole"
            tell(f"{fault.path}: {fault.reason}; {instead}")
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
