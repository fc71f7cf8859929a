"""What a person sees: messages, warnings and tables on the terminal, and the same in the run's log."""

import errno
import logging
import os
import shlex
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import ControlType, Segment
from rich.text import Text

from softvq.bounded_files import printable
from softvq.console.stream import SafeStream

LOG_WIDTH = 120


def _console(stream: SafeStream, width: int | None = None) -> Console:
    """A console that takes text literally and, unless it is a terminal, writes no control characters.

    A terminal is as wide as it says itself: what the environment says of it was true when its shell began.
    """
    terminal = stream.isatty()
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return Console(
        file=cast(TextIO, stream),
        width=width or (None if terminal or "COLUMNS" in os.environ else LOG_WIDTH),
        _environ=environment if terminal else None,
        force_terminal=None if terminal else False,
        markup=False,
        emoji=False,
        highlight=False,
    )


class Screen:
    """Prints to the terminal and, while logs of runs are open, into them."""

    def __init__(self) -> None:
        self.terminal = _console(SafeStream(_stdout))
        self._errors = _console(SafeStream(lambda: sys.stderr))
        self._logs: dict[Path, Console] = {}
        self.closing: list[Callable[[], None]] = []  # what takes the bars away that are shown
        self.around: Callable[[], str] = str  # how far the sweep is in which a bar is shown; empty outside of one

    def mute(self) -> None:
        """Writes to the runs' logs alone, in a worker whose sweep tells how far it is."""
        self.terminal.quiet = self._errors.quiet = True

    @property
    def has_terminal(self) -> bool:
        """Whether there is a terminal on which a bar can be drawn."""
        return self.terminal.is_terminal and not self.terminal.quiet

    @property
    def errors_on_terminal(self) -> bool:
        """Whether stderr is a terminal."""
        return self._errors.is_terminal

    def close_bars(self) -> None:
        """Takes away whatever bar is shown, however its run ended."""
        for close in list(self.closing):
            close()

    def print(self, renderable: RenderableType) -> None:
        """Shows text or a table. Text is taken literally, and long lines are left to the terminal."""
        self._show(self.terminal, renderable)
        self.note(renderable)

    def note(self, renderable: RenderableType) -> None:
        """Writes to the runs' logs alone."""
        for log in self._logs.values():
            self._show(log, renderable)

    def print_warning(self, message: str) -> None:
        """Shows what a person should know of, on stderr."""
        self._complain(Text.assemble(("warning: ", "yellow"), _printable_lines(message)))

    def print_error(self, message: str) -> None:
        """Shows what went wrong, on stderr."""
        self._complain(Text.assemble(("error: ", "bold red"), _printable_lines(message)))

    def print_end(self, line: str) -> None:
        """Shows the one line with which a program ends that was told to stop, on stderr."""
        self.close_bars()
        self._show(self._errors, line)

    def _complain(self, text: Text) -> None:
        self._show(self._errors, text)
        self.note(text)

    def _show(self, console: Console, renderable: RenderableType) -> None:
        if self.closing and console is self._errors and self.errors_on_terminal:
            console = self.terminal  # which draws the bar again below
        above_bar = [_ErasedBelow()] if self.closing and console is self.terminal and self.has_terminal else []
        shown = _printable_lines(renderable) if isinstance(renderable, str) else renderable
        console.print(*above_bar, shown, soft_wrap=isinstance(renderable, str | Text))

    @contextmanager
    def logged(self, *paths: Path) -> Iterator[None]:
        """Copies what is printed to files as well, and shows what libraries warn of as one line each."""
        handler = _Warnings(self)
        logging.getLogger().addHandler(handler)
        with ExitStack() as open_files, warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: self.print_warning(str(message))
            for path in paths:
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    file = os.fdopen(_open_regular(path), "a", encoding="utf-8", errors="replace")
                except OSError as error:  # a run does without a log
                    self.print_warning(f"{path} cannot be written: {error.strerror}")
                    continue
                open_files.callback(_close, file)
                self._logs[path] = _console(SafeStream(partial(_same, file)), LOG_WIDTH)
            self.note(f"{datetime.now():%Y-%m-%d %H:%M:%S} {shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}")
            try:
                yield
            except BaseException as error:
                if not isinstance(error, Exception | SystemExit):  # somebody stopped the run
                    self.note(str(error) or "interrupted")
                raise
            finally:
                self.close_bars()
                self._logs = {}
                logging.getLogger().removeHandler(handler)

    @contextmanager
    def logged_alone(self, path: Path) -> Iterator[None]:
        """Copies what is printed to one of the open logs, as it is about its run alone."""
        logs = self._logs
        self._logs = {path: logs[path]} if path in logs else {}
        try:
            yield
        finally:
            self._logs = logs


class _ErasedBelow:
    """Erases the screen from the cursor on: a bar that the terminal has broken in two when it was made narrower."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield terminal_code("\x1b[J")


def terminal_code(code: str) -> Segment:
    """A code for the terminal, which takes no room on its screen."""
    return Segment(code, None, [(ControlType.CARRIAGE_RETURN,)])


def _printable_lines(text: str) -> str:
    """The text without what would be a command to a terminal: names of files and settings may hold anything."""
    return "\n".join(map(printable, text.split("\n")))


def _stdout() -> TextIO | None:
    """Standard output itself: while rich shows a bar, what stands in its place writes to the console that draws it."""
    return getattr(sys.stdout, "rich_proxied_file", sys.stdout)


def _same(file: TextIO) -> TextIO:
    return file


def _open_regular(path: Path) -> int:
    """Opens a file to append to it; nothing that would wait for a reader, and no link to a file elsewhere."""
    careful = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | careful, 0o666)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "it is no regular file")
    return number


def _close(file: TextIO) -> None:
    with suppress(OSError):  # what a full disk does not take is lost
        file.close()


class _Warnings(logging.Handler):
    """Shows what libraries log as a warning or worse."""

    def __init__(self, shown_on: Screen) -> None:
        super().__init__(logging.WARNING)
        self.shown_on = shown_on

    def emit(self, record: logging.LogRecord) -> None:
        self.shown_on.print_warning(f"{record.name}: {record.getMessage()}")


screen = Screen()
