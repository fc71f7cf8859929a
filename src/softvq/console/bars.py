"""How far something is and how fast it goes, as rich computes it; on a terminal a bar on a single line."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from softvq.console.screen import screen, terminal_code
from softvq.console.words import duration

PACE_S = 10.0  # over which a pace is averaged
WIDE = 80  # columns of a terminal with room for everything


class _OneLine:
    """A line on a terminal that a person may make narrower.

    After each drawing the cursor is put at the start of the line, and stays there when the terminal breaks the line in
    two. Before the next drawing everything from the cursor on is erased, so that no piece of the old line remains.
    A program hears of the new width a moment late: what it draws until then is cut off at the edge, not broken.
    """

    def __init__(self, content: RenderableType) -> None:
        self.content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield terminal_code("\x1b[J\x1b[?7l")
        yield from console.render_lines(self.content, options, pad=False)[0]  # without the end of the line
        yield terminal_code("\r\x1b[?7h")


class LineProgress(Progress):
    """Rich's progress on a single line of the terminal, which it leaves as it was.

    Args:
        columns: from left to right.
        spare: those that a line without room for all of them does without, the first to go first.
        settings: of rich's progress.
    """

    def __init__(self, *columns: ProgressColumn, spare: Sequence[ProgressColumn] = (), **settings: Any) -> None:
        self._all, self._spare = columns, spare
        above = screen.errors_on_terminal  # what is written to stderr meanwhile stands above the bar
        super().__init__(
            *columns, console=screen.terminal, transient=True, refresh_per_second=4, redirect_stderr=above, **settings
        )

    def get_renderable(self) -> RenderableType:
        return _OneLine(super().get_renderable())

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        terminal, left_out = screen.terminal, 0
        endless = terminal.options.update_width(1000)
        while True:
            self.columns = tuple(column for column in self._all if column not in self._spare[:left_out])
            table = super().make_tasks_table(tasks)
            if left_out == len(self._spare) or Measurement.get(terminal, endless, table).maximum <= terminal.width:
                return table
            left_out += 1


def narrow() -> Column:
    """A column that is cut off, not broken, where there is no room for it."""
    return Column(no_wrap=True)


class Bar:
    """A bar on one line of the terminal: name, bar, count, what else is told of it, time left.

    In a sweep it begins with how far that is.

    Args:
        name: what goes on.
        done: where it starts.
        total: where it ends; None until it is known.
        after_s: seconds before it shows.
    """

    def __init__(self, name: str, done: int, total: int | None, after_s: float = 0) -> None:
        self._name = name
        wide = screen.terminal.width >= WIDE and not screen.around()
        bar, told = BarColumn(30 if wide else 10), TextColumn("{task.fields[told]}", table_column=narrow())
        self._progress = LineProgress(
            TextColumn("{task.description}", table_column=narrow()),
            bar,
            MofNCompleteColumn(table_column=narrow()),
            told,
            TimeRemainingColumn(table_column=narrow()),
            spare=(bar, told),
            speed_estimate_period=PACE_S,
        )
        self._number = self._progress.add_task(self._described(), total=total, completed=done, told="")
        self._progress.advance(self._number, 0)  # the speed is measured from now on
        self._timer = threading.Timer(after_s, self._progress.start)
        self._timer.daemon = True
        screen.closing.append(self.close)
        self._timer.start()

    def _described(self) -> str:
        around = screen.around()
        return f"{around}: {self._name}" if around else self._name

    @property
    def task(self) -> Task:
        """Rich's: how far it is, and how fast."""
        return self._progress.tasks[0]

    def at(self, done: int, total: int, told: str = "") -> None:
        """Moves it on."""
        self._progress.update(self._number, description=self._described(), completed=done, total=total, told=told)

    def close(self) -> None:
        """Takes it away; harmless when repeated."""
        self._timer.cancel()
        self._timer.join()
        self._progress.stop()
        if self.close in screen.closing:
            screen.closing.remove(self.close)


class Pace:
    """How fast something goes, as rich computes it, where no bar is drawn.

    Args:
        done: where it starts.
        total: where it ends; None until it is known.
        clock: in seconds.
    """

    def __init__(self, done: int, total: int | None, clock: Callable[[], float]) -> None:
        self._progress = Progress(disable=True, get_time=clock, speed_estimate_period=PACE_S)
        self._number = self._progress.add_task("", total=total, completed=done)
        self._progress.advance(self._number, 0)  # the speed is measured from now on

    def at(self, done: int, total: int) -> Task:
        """Moves on; rich's task."""
        self._progress.update(self._number, completed=done, total=total)
        return self._progress.tasks[0]


def rate(task: Task) -> str:
    """Per second; `-` while nothing is known."""
    return "-" if task.speed is None else f"{task.speed:.{0 if task.speed >= 10 else 1}f}"


def left(task: Task) -> str:
    """Time left; `-:--` while nothing is known."""
    return "-:--" if task.time_remaining is None else duration(task.time_remaining)
