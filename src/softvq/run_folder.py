"""The folder of a run: what lies in it, and how it is written so that a killed process leaves no half file."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock


class RunFolder:
    """The files of one run below `path`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()

    config = property(lambda self: self.path / "config.yaml")
    metrics = property(lambda self: self.path / "metrics.json")
    failure = property(lambda self: self.path / "failure.json")
    curve = property(lambda self: self.path / "metrics.csv")
    checkpoint = property(lambda self: self.path / "checkpoints" / "last.ckpt")
    latents = property(lambda self: self.path / "latents.npz")
    figures = property(lambda self: self.path / "figures")
    evaluations = property(lambda self: self.path / "evaluations")
    log = property(lambda self: self.path / "run.log")

    def lock(self) -> FileLock:
        """Held while a cell runs; the kernel releases it when the process dies.

        Raises:
            ValueError: if nothing can be written there.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / ".lock").touch()
        except OSError as error:
            raise ValueError(unusable(error)) from error
        return FileLock(self.path / ".lock")

    def start_over(self) -> None:
        """Removes what an earlier run left, its log excepted."""
        for file in (self.config, self.metrics, self.failure, self.curve, self.checkpoint, self.latents):
            file.unlink(missing_ok=True)
        for folder in (self.figures, self.evaluations):
            shutil.rmtree(folder, ignore_errors=True)

    def remove_partial(self) -> None:
        """Removes what killed processes had not written whole; under the lock, when nobody is writing."""
        for file in self.path.glob(".*.[0-9]*"):
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


def write_json(path: Path, content: Any) -> None:
    """Writes JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all: to a neighbour's name first, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def read_json(path: Path) -> Any:
    """What a JSON file holds, or None where it is absent.

    Raises:
        DamagedFileError: if it holds something else.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError as error:
        raise DamagedFileError(path, str(error)) from error
