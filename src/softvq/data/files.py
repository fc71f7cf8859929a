"""Files of other people: looked at before they are opened, so that a pipe or a dangling link does no harm."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from softvq.data.source import DataError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def stat_of(path: Path) -> os.stat_result | None:
    """What the system says of a path, links followed; None if there is nothing.

    Raises: DataError: for a link that leads nowhere, or a path that cannot be looked at.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise DataError(
                f"{path} is a link to {os.readlink(path)}, which does not exist; remove or mend it"
            ) from None
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{path} cannot be looked at: {reason}") from error


def is_file(path: Path) -> bool:
    """Whether a regular file lies there.

    Raises: DataError: for a dangling link, and for whatever else is in a file's place.
    """
    return state_at(path) is not None


def state_at(path: Path) -> tuple[int, int, int] | None:
    """The state of the regular file that lies there, as `file_state`; None if there is nothing.

    Raises: DataError: for a dangling link, and for whatever else is in a file's place.
    """
    found = stat_of(path)
    if found is None:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} is {KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}, not a file; remove it")
    return _state(found)


def is_folder(path: Path) -> bool:
    """Whether a folder lies there.

    Raises: DataError: for a dangling link.
    """
    found = stat_of(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def check_folder(key: str, folder: Path, layout: str) -> None:
    """Refuses a setting that names no folder.

    Raises: DataError: naming the key, the path and what it should hold.
    """
    try:
        there = is_folder(folder)
    except DataError as error:
        raise DataError(f"{key}={folder}: {error}") from error
    if not there:
        raise DataError(f"{key}={folder} is {'not a folder' if folder.exists() else 'not there'}; {layout}")


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A regular file, opened for reading.

    Raises: DataError: if it is no regular file, or cannot be read.
    """
    if not is_file(path):
        raise DataError(f"{path} is not there")
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; make it readable or remove it") from error
    with file:
        yield file


def size_of(path: Path) -> int:
    """Bytes of a file, for messages; 0 if there is none."""
    with suppress(OSError):
        return path.stat().st_size
    return 0


def file_state(path: Path) -> tuple[int, int, int]:
    """What tells, without reading it, that a file is still the same: its size, and when it was last changed.

    The time that a program can set is there beside the one that only the system sets: whoever alters a file and puts
    its time back is found out.
    """
    return _state(path.stat())


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def fingerprint_of(states: list[tuple[object, ...]]) -> str:
    """Two hashes of many files' names and states, joined by a dash.

    The first is of names, sizes and times of the content, which a copy that keeps the times has as well; the second
    also of the system's own times, which no copy has.
    """
    copied = [state[:-1] for state in states]
    return "-".join(hashlib.sha256(json.dumps(part).encode()).hexdigest() for part in (copied, states))


def same_but_copied(first: str, second: str) -> bool:
    """Whether two fingerprints are of files with the same names, sizes and times of their content."""
    return first.partition("-")[0] == second.partition("-")[0]


def check_place(key: str, folder: Path) -> None:
    """Refuses the folder that a setting names where not even the one above it is there: that is a typing error.

    Raises: DataError: naming the key and the path.
    """
    try:
        if not is_folder(folder) and not is_folder(folder.absolute().parent):
            raise DataError(f"{folder.absolute().parent} is not there; make it first, or correct the path")
    except DataError as error:
        raise DataError(f"{key}={folder}: {error}") from error


def make_folder(key: str, folder: Path) -> list[Path]:
    """Makes the folder that a setting names, below one that is there.

    Returns: what it made, the innermost first.
    Raises: DataError: naming the key and the path.
    """
    check_place(key, folder)
    made: list[Path] = []
    try:
        if not is_folder(folder):
            folder.mkdir()
            made.append(folder)
    except DataError as error:
        raise DataError(f"{key}={folder}: {error}") from error
    except OSError as error:
        raise DataError(f"{key}={folder} cannot be made: {error.strerror}; set {key}=PATH to another folder") from error
    return made
