"""Locks between processes: held by one at a time, and taken by the kernel from a process that dies."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows, where locking needs no support of the file system's
    fcntl = None  # type: ignore[assignment]

HELD_BY_ANOTHER = (errno.EAGAIN, errno.EACCES)  # what the attempt to take a lock says then


class LockError(ValueError):
    """A lock that nobody can hold here, whoever holds it now."""


@contextmanager
def locked(path: Path, way_out: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a lock, for as long as it takes another process to let go of it.

    Args:
        path: of the lock's file, which is made if it is absent and stays when the lock is free again.
        way_out: what to do where locking is impossible, e.g. "set data.root=PATH to a folder on a local disk".
        waiting: called once if another process holds the lock.

    Raises:
        LockError: if the file cannot be made, or its file system knows no locks. Such a one would never say that a
            lock is free, so that waiting for it would not end.
    """
    with _explained(path, way_out):
        _check_support(path)
        lock = FileLock(path)
        free = _acquired_at_once(lock)
    if not free:
        waiting()
        with _explained(path, way_out):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_support(path: Path) -> None:
    """Sees whether the file system has locks, by a shared lock for a moment; it has them if another process holds one.

    Raises:
        OSError: if it has none.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in HELD_BY_ANOTHER:
            raise OSError(error.errno, f"its file system has no locks ({error.strerror})") from error
    finally:
        os.close(file)


def _acquired_at_once(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


@contextmanager
def _explained(path: Path, way_out: str) -> Iterator[None]:
    try:
        yield
    except (OSError, NotImplementedError) as error:  # the latter is what filelock raises where it finds no locks
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise LockError(f"{path} cannot be locked: {reason}; {way_out}") from error
