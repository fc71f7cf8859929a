"""The folder of a run: what lies in it, and whose that is."""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from softvq.durable_files import sync_folder

PREVIOUS = "previous.ckpt"  # the checkpoint before the last
# Stems of the pictures that runs draw.
FIGURES = ("reconstructions", "tsne", "codebook_use", "health", "curve", "interpolation", "samples", "codewords")
EXPLORED = "explore.html"  # a page to look into a run's code
HARMLESS = (".lock", "tensorboard", "wandb", ".DS_Store")  # may lie in a folder before its run has written a file
SHOWN = 3  # of somebody's own files, in a message
DATE = rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "  # with which the log of a run begins


class RunFolder:
    """The files of one run below `path`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(os.path.realpath(path))  # which takes links that lead in a circle as they are

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
        """Refuses a folder of somebody's own files, a file in its place, and what stands in the place of a run's files.

        Raises:
            ValueError: naming some of the files.
        """
        try:
            self._check_kinds()
            self._check_foreign()
        except OSError as error:  # a name that is too long, or a folder that may not be read
            raise ValueError(unusable(error)) from error

    def _check_kinds(self) -> None:
        folders = (self.checkpoints, self.figures, self.evaluations)
        files = (self.config, self.metrics, self.failure, self.curve, self.latents, self.checkpoint)
        for path in (*folders, *files, self.checkpoint.with_name(PREVIOUS)):
            expected = "folder" if path in folders else "file"
            if os.path.lexists(path) and not (path.is_dir() if expected == "folder" else path.is_file()):
                found = "a folder" if path.is_dir() else f"no {expected}" if path.exists() else "a link to nothing"
                raise ValueError(
                    f"{path} is {found}, and a run has a {expected} there; move it away, or choose another folder "
                    "(hydra.run.dir=PATH, of a sweep hydra.sweep.dir=PATH)"
                )

    def _check_foreign(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(unusable(FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path))))
        if foreign := self.foreign_files():
            named = ", ".join(map(repr, foreign[:SHOWN])) + (" ..." if len(foreign) > SHOWN else "")
            raise ValueError(
                f"{self.path} holds files that are no run's ({named}); choose an empty or a new folder "
                "(hydra.run.dir=PATH, of a sweep hydra.sweep.dir=PATH)"
            )

    def foreign_files(self) -> list[str]:
        """Some files of a folder in which nothing is certainly a run's; empty ones do not count.

        It is no more than a few, as the folder may be somebody's home, or the whole disk.
        """
        marks = [
            (self.config, rb"^result_settings:"),
            (self.metrics, rb'"config_hash":'),
            (self.failure, rb'"traceback":'),
            (self.checkpoint, rb"PK.*config_hash"),
        ]
        if not self.path.is_dir() or any(begins_with(file, rb"(?ms).*" + mark) for file, mark in marks):
            return []
        partial = self._partial()
        foreign = (
            str(file.relative_to(self.path))
            for entry in sorted(self.path.iterdir())
            if entry.name not in HARMLESS
            for file in _files_of(entry)
            if file not in partial
            and not (file.is_file() and file.stat().st_size == 0)
            and not (file == self.log and begins_with(file, DATE))
        )
        return list(islice(foreign, SHOWN + 1))

    def start_over(self) -> None:
        """Removes what an earlier run wrote, its log excepted; nothing else.

        The checkpoints go first: without them nothing of the old run can be taken for the new one's, wherever this is
        interrupted. `config.yaml` goes last: by it the folder is known to be a run's.

        Raises:
            ValueError: if something else has the name of one of the files.
        """
        try:
            for checkpoint in (self.checkpoint, self.checkpoint.with_name(PREVIOUS)):
                checkpoint.unlink(missing_ok=True)
            if self.checkpoints.is_dir():
                sync_folder(self.checkpoints)
            for file in (self.metrics, self.failure, self.curve, self.latents, *self._written()):
                file.unlink(missing_ok=True)
            for folder in (self.figures, self.evaluations, self.checkpoints):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
            sync_folder(self.path)
            self.config.unlink(missing_ok=True)
            sync_folder(self.path)
        except OSError as error:
            raise ValueError(unusable(error)) from error

    def _written(self) -> list[Path]:
        """The figures, evaluations and pages that are made of runs, by their names."""
        figures = [
            file for file in self.figures.glob("*") if file.stem in FIGURES and file.suffix in (".png", ".pdf", ".svg")
        ]
        evaluations = [file for file in self.evaluations.glob("*.json") if begins_with(file, rb'(?s).*"config_hash":')]
        codes = [file.with_suffix(".npz") for file in evaluations]
        return [*figures, self.figures / "captions.md", *codes, *evaluations, self.path / EXPLORED]

    def remove_partial(self) -> None:
        """Removes what killed processes had not written whole; under the lock, when nobody is writing."""
        for partial in self._partial():
            partial.unlink()

    def _partial(self) -> list[Path]:
        """The neighbours, named by the process's number, to which files are written before they get their names."""
        files = (self.config, self.metrics, self.failure, self.curve, self.latents, self.checkpoint)
        names = [str(file.relative_to(self.path)) for file in files]
        pictures = [f"figures/{stem}.*" for stem in FIGURES]
        written = [*names, *pictures, "figures/captions.md", "evaluations/*.json", "evaluations/*.npz"]
        found = [
            partial
            for folder, _, name in (path.rpartition("/") for path in written)
            for partial in (self.path / folder).glob(f".{name}.*")
        ]
        return [partial for partial in found if partial.is_file() and partial.suffix[1:].isdigit()]


def _files_of(entry: Path) -> Iterator[Path]:
    """What is no folder, from an entry of a folder downwards; links are not followed."""
    if not entry.is_dir():
        yield entry
        return
    for folder, _, names in os.walk(entry):
        yield from (Path(folder, name) for name in sorted(names))


def begins_with(file: Path, pattern: bytes) -> bool:
    """Whether the first megabyte of a regular file matches a pattern."""
    try:
        if not file.is_file():
            return False
        with file.open("rb") as opened:
            return re.match(pattern, opened.read(2**20)) is not None
    except OSError:
        return False


def refuse_foreign(files: Mapping[Path, bytes | None]) -> None:
    """Refuses to write over files that are somebody's own.

    Args:
        files: to be written -> how one begins that softvq has written; None for a file that does not tell, and that is
            taken for one of softvq's where another of them is.

    Raises:
        ValueError: naming some of them.
    """
    there = [file for file in files if os.path.lexists(file) and not (file.is_file() and file.stat().st_size == 0)]
    marks = {file: mark for file in there if (mark := files[file]) is not None}
    own = {file for file, mark in marks.items() if begins_with(file, mark)}
    foreign = [file for file in there if file not in own and (file in marks or not own)]
    if foreign:
        named = ", ".join(file.name for file in foreign[:SHOWN]) + (" ..." if len(foreign) > SHOWN else "")
        raise ValueError(
            f"{foreign[0].parent} holds {named} of somebody's own, which would be overwritten; "
            "choose another folder with --out DIR"
        )


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
