"""Files that are written whole or not at all.

Neither a killed process nor a power loss leaves half a file under a name that something reads.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class UnwritableError(OSError):
    """A file that cannot be written; what was there before is as it was."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.path, self.reason = path, error.strerror or str(error)
        super().__init__(
            f"{path} cannot be written: {self.reason}; "
            "once that is mended, the same command goes on from the last checkpoint"
        )


def write_json(path: Path, content: Any) -> None:
    """Writes JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text whole or not at all."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def whole(path: Path, former: Path | None = None) -> Iterator[Path]:
    """Writes a file whole or not at all, also if the power fails: a neighbour's name, synced, then renamed.

    Args:
        path: of the file.
        former: what the file that is replaced is called from then on; None for one that nobody needs any more.

    Yields:
        The path to write to.

    Raises:
        UnwritableError: if the disk is full, or anything else stands against it.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        sync(partial)
        if former is not None and path.exists():
            path.replace(former)
        partial.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        cause = _file_error(error)
        if cause is not None:
            raise UnwritableError(path, cause) from error
        raise


def _file_error(error: BaseException) -> OSError | None:
    """The file error behind an exception: torch raises one of its own when a disk is full."""
    link: BaseException | None = error
    while isinstance(link, RuntimeError):
        link = link.__context__
    return link if isinstance(link, OSError) else None


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
