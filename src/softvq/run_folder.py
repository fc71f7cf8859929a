"""The folder of a run: what lies in it, and how it is written.

Neither a killed process nor a power loss leaves half a file under a name that a run reads.
"""

import json
import os
from pathlib import Path
from typing import Any

PREVIOUS = "previous.ckpt"  # the checkpoint before the last
# Stems of the pictures that runs draw.
FIGURES = ("reconstructions", "tsne", "codebook_use", "health", "curve", "interpolation", "samples", "codewords")
# What may lie in a folder before a run has written its first file.
OWN = (".lock", "checkpoints", "tensorboard", "wandb", ".DS_Store")


class RunFolder:
    """The files of one run below `path`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()

    config = property(lambda self: self.path / "config.yaml")
    metrics = property(lambda self: self.path / "metrics.json")
    failure = property(lambda self: self.path / "failure.json")
    curve = property(lambda self: self.path / "metrics.csv")
    checkpoints = property(lambda self: self.path / "checkpoints")
    checkpoint = property(lambda self: self.checkpoints / "last.ckpt")
    latents = property(lambda self: self.path / "latents.npz")
    figures = property(lambda self: self.path / "figures")
    evaluations = property(lambda self: self.path / "evaluations")
    log = property(lambda self: self.path / "run.log")
    lock = property(lambda self: self.path / ".lock")

    def make(self) -> None:
        """Makes the folder.

        Raises:
            ValueError: if nothing can be written there.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(unusable(error)) from error

    def check_own(self) -> None:
        """Refuses a folder of somebody's own files: nothing in it is a run's.

        Raises:
            ValueError: naming some of the files.
        """
        if not self.path.is_dir() or any(file.exists() for file in (self.config, self.metrics, self.failure, self.log)):
            return
        foreign = sorted(entry.name for entry in self.path.iterdir() if entry.name not in OWN)
        if foreign:
            named = ", ".join(repr(name) for name in foreign[:3]) + (" ..." if len(foreign) > 3 else "")
            raise ValueError(
                f"{self.path} holds files that are no run's ({named}); choose an empty or a new folder "
                "(hydra.run.dir=PATH, of a sweep hydra.sweep.dir=PATH)"
            )

    def start_over(self) -> None:
        """Removes what an earlier run wrote, its log excepted; nothing else.

        The checkpoints go first: without them nothing of the old run can be taken for the new one's, wherever this is
        interrupted.
        """
        for part in (self.checkpoint, self.checkpoint.with_name(PREVIOUS)):
            part.unlink(missing_ok=True)
        if self.checkpoints.exists():
            sync_folder(self.checkpoints)
        for file in (self.metrics, self.failure, self.curve, self.latents, self.config, *self._written()):
            file.unlink(missing_ok=True)
        for folder in (self.figures, self.evaluations, self.checkpoints):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        sync_folder(self.path)

    def _written(self) -> list[Path]:
        """The figures and evaluations that runs write, by their names."""
        figures = [
            file for file in self.figures.glob("*") if file.stem in FIGURES and file.suffix in (".png", ".pdf", ".svg")
        ]
        return [*figures, self.figures / "captions.md", *self.evaluations.glob("*-*-*.json")]

    def remove_partial(self) -> None:
        """Removes what killed processes had not written whole; under the lock, when nobody is writing."""
        for file in (*self.path.glob(".*.[0-9]*"), self.checkpoints / f".{self.checkpoint.name}"):
            if file.is_file():
                file.unlink(missing_ok=True)


def unusable(error: OSError) -> str:
    """What is wrong with a folder for runs, and the way out."""
    return (
        f"{error.filename} cannot hold a run: {error.strerror}; choose another folder "
        "(hydra.run.dir=PATH, of a sweep hydra.sweep.dir=PATH)"
    )


class DamagedFileError(ValueError):
    """A file of a run folder that is not what a run writes there."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is damaged or no run's: {reason}; choose another folder (hydra.run.dir=PATH) "
            "or start over with resume=never"
        )
        self.path, self.reason = path, reason


def write_json(path: Path, content: Any) -> None:
    """Writes JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all, also if the power fails: a neighbour's name, synced, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync(file: Path) -> None:
    """Has the disk keep a file's content before anything that follows."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Has the disk keep a folder's names; systems that cannot sync a folder keep them anyway."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
