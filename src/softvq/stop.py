"""What SIGINT (Ctrl-C) and SIGTERM do: the first one ends a program in good order, a second one ends it at once.

A program calls `listen` before it imports anything large. What the first signal does then depends on what goes on:

- while nothing has begun, as during imports, the program ends with one line;
- within `raised()`, `Stopped` is raised in the main thread;
- within `noted(...)`, nothing happens except that `requested()` tells of it: training looks there after each step,
  saves, and raises `Stopped` itself.

The exit status is 130 after SIGINT and 143 after SIGTERM, as shells have it.
"""

import _thread
import atexit
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAME_S = 0.3  # signals that come closer together are one: `timeout` and supervisors send theirs twice


class Stopped(BaseException):
    """The program was told to stop. Not an `Exception`: nothing may take it for a fault and go on.

    Args:
        signum: the signal.
        where: how far the work is: cell, step and folder. Empty where there is nothing to go on from.
    """

    def __init__(self, signum: int, where: str = "") -> None:
        super().__init__(signum, where)
        self.signum, self.where = signum, where

    @property
    def exit_code(self) -> int:
        """130 or 143."""
        return 128 + self.signum

    def __str__(self) -> str:
        return line_of(self.signum, self.where)


def line_of(signum: int, where: str) -> str:
    """The one line that a person reads of a stop."""
    what = "interrupted" if signum == signal.SIGINT else f"stopped by {signal.Signals(signum).name}"
    return f"{what}: {where}; the same command goes on from there" if where else what


@dataclass
class _State:
    """What was asked of this process, and what it does about it.

    Attributes:
        signum: the first signal that the main thread handled; None as long as there was none.
        heard_s: when the first signal came, on the monotonic clock; the main thread may handle it later.
        source: whose stop counts: `signals`, `parent` (only `tell`, as in the workers of a sweep) or `nobody`; None
            before `listen` or `leave_to_parent`.
        told: whether `tell` was called.
        answer: `exit`, `raise` or `note`.
        where: describes how far the work is.
        on_request: called with the first signal.
    """

    signum: int | None = None
    heard_s: float | None = None
    source: str | None = None
    told: bool = False
    answer: str = "exit"
    where: Callable[[], str] = str
    on_request: Callable[[int], None] | None = None


_state = _State()
_wakeup: tuple[socket.socket, socket.socket] | None = None  # kept open as long as the process lives
_last_word = threading.Lock()  # of whoever says how the process ends


def listen(to_parent: bool = False) -> None:
    """Handles SIGINT and SIGTERM from now on.

    Does nothing outside the main thread, where Python allows no handlers.

    Args:
        to_parent: ignore the signals, which a terminal sends to workers, too; heed `tell` alone.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if to_parent:
        _state.source, _state.answer = "parent", "note"
    else:
        _state.source = "signals"
    take_over()
    if _wakeup is None:
        _watch_for_second_signal()
        os.register_at_fork(after_in_child=_leave_fork_to_parent)
        atexit.register(_deafen)  # as the first, and so called as the last
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # see `kept_from_children`


def leave_to_parent() -> None:
    """Ignores SIGINT and SIGTERM in a process that ends when its parent does."""
    _state.source = "nobody"
    take_over()


def take_over() -> None:
    """Puts the handlers back where a library has put its own in their place, as Lightning does."""
    if _state.source is not None:
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN if _state.source == "nobody" else _handle)


def requested() -> int | None:
    """The signal by which this process was told to stop; None if it was not."""
    return _state.signum


def tell(signum: int) -> None:
    """Acts as if the signal had come. For any thread of a process that learns in another way that it is to stop."""
    _state.told = True
    _thread.interrupt_main(signal.Signals(signum))


def forget() -> None:
    """Forgets a stop in a process that goes on after it, as that of the tests does."""
    _state.signum = _state.heard_s = None
    _state.told = False
    if _last_word.locked():
        _last_word.release()


@contextmanager
def raised(where: Callable[[], str] = str) -> Iterator[None]:
    """Within, the first signal raises `Stopped`, also one that came before.

    Args:
        where: describes how far the work is.
    """
    with _answering("raise", where, None):
        _raise_if_requested()
        yield


@contextmanager
def noted(where: Callable[[], str], on_request: Callable[[int], None] | None = None) -> Iterator[None]:
    """Within, the first signal is only noted. A stop that is not dealt with by the end of it is raised there.

    Args:
        where: describes how far the work is, for the line with which a second signal ends the process.
        on_request: called with the signal, in the main thread, to pass it on to other processes.
    """
    with _answering("note", where, on_request):
        yield
    if _state.answer == "raise":
        _raise_if_requested()


def _raise_if_requested() -> None:
    if _state.signum is not None:
        raise Stopped(_state.signum, _described())


@contextmanager
def _answering(answer: str, where: Callable[[], str], on_request: Callable[[int], None] | None) -> Iterator[None]:
    before = (_state.answer, _state.where, _state.on_request)
    _state.answer, _state.where, _state.on_request = answer, where, on_request or before[2]
    try:
        yield
    finally:
        _state.answer, _state.where, _state.on_request = before


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes started within get SIGINT and SIGTERM only when they call `listen`.

    Python's own handler would print a traceback in each of them that a Ctrl-C meets while it starts. This process
    goes on listening, in another thread.
    """
    if _wakeup is None:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _handle(signum: int, frame: FrameType | None) -> None:
    if _state.source == "parent" and not _state.told:
        return
    if _state.signum is not None:
        if _state.source == "signals" and _is_second():
            _end_at_once(signum)
        return
    _is_second()
    _state.signum = signum
    if _state.answer == "exit":
        _end_at_once(signum)
    if _state.on_request is not None:
        _state.on_request(signum)
    if _state.answer == "raise":
        raise Stopped(signum, _described())


def _is_second() -> bool:
    """Whether a signal that comes now is another one than the first."""
    now = time.monotonic()
    if _state.heard_s is None:
        _state.heard_s = now
    return now - _state.heard_s > SAME_S


def has_last_word() -> bool:
    """Whether the caller is to print how the process ends: true for the first caller alone, of all threads."""
    return _last_word.acquire(blocking=False)


def _end_at_once(signum: int) -> None:
    """Ends the process, with one line and nothing else."""
    if not has_last_word():
        time.sleep(SAME_S)  # for whoever is about to say it
        os._exit(128 + signum)
    line = f"{line_of(signum, _described())}\n"
    if sys.__stderr__ is not None and sys.__stderr__.isatty():
        line = f"\r\x1b[K{line}\x1b[?25h"  # in place of a bar, which has hidden the cursor
    with suppress(OSError):  # of a stream that nobody reads
        os.write(2, line.encode("utf-8", "replace"))
    os._exit(128 + signum)


def _described() -> str:
    try:
        return _state.where()
    except Exception:  # asked at any moment, also while what it describes is half built
        return ""


def _watch_for_second_signal() -> None:
    """Has a thread end the process on a second signal, as the main thread handles none while it is outside Python."""
    global _wakeup
    reader, writer = _wakeup = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        while number := reader.recv(1):
            if number[0] in SIGNALS and _state.source == "signals" and _is_second():
                _end_at_once(number[0])

    threading.Thread(target=watch, name="stop", daemon=True).start()


def _deafen() -> None:
    """Has signals mean nothing to a process that is about to end: Python, which takes itself apart, would die of them
    and its exit status would be theirs.
    """
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def _leave_fork_to_parent() -> None:
    """In a process that was forked off without a program of its own: it shares this one's socket."""
    signal.set_wakeup_fd(-1)
    leave_to_parent()
