"""How far a run is: bars where a person watches a terminal, a line now and then elsewhere and in the run's log."""

import multiprocessing
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import lightning as L
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from softvq.console import duration, screen

Report = Callable[[int, int], None]  # (done, total): how a probe says how far it is
PATIENCE_S = 2.0  # before a probe shows a bar
RATE_S = 10.0  # over which steps per second are averaged
LINES = 10  # in a run
LINE_S = 300.0  # between two of a slow run
WIDE = 80  # columns of a terminal with room for everything


def wanted(progress: bool | str) -> bool:
    """Whether to show progress: `trainer.progress` true or false, or auto, which is true."""
    if progress not in (True, False, "auto"):
        raise ValueError(f"trainer.progress must be true, false or auto, got {progress!r}")
    return bool(progress)


def on_terminal() -> bool:
    """Whether bars have a terminal for themselves, which the workers of a parallel sweep do not have."""
    return sys.stdout.isatty() and multiprocessing.current_process().name == "MainProcess"


class Pace:
    """How fast something goes, averaged over the last seconds.

    Args:
        done: where it starts.
        clock: seconds; None for the machine's.
    """

    def __init__(self, done: int, clock: Callable[[], float] | None = None) -> None:
        self.clock = clock or time.perf_counter
        self._seen = deque([(self.clock(), done)])

    def at(self, done: int) -> None:
        """Notes how far it is."""
        now = self.clock()
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] < now - RATE_S:
            self._seen.popleft()

    @property
    def per_s(self) -> float | None:
        """None while nothing is known."""
        (start, first), (now, done) = self._seen[0], self._seen[-1]
        return (done - first) / (now - start) if done > first and now > start else None

    @property
    def rate(self) -> str:
        """Per second; `-` while nothing is known."""
        rate = self.per_s
        return "-" if rate is None else f"{rate:.{0 if rate >= 10 else 1}f}"

    def left(self, total: int) -> str:
        """Time left, `-:--` while nothing is known."""
        rate = self.per_s
        return "-:--" if rate is None else duration((total - self._seen[-1][1]) / rate)


class _Left(ProgressColumn):
    """Time left at the task's pace."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.fields['pace'].left(task.total or 0)} left")


class Bar:
    """A bar on one line of the terminal: name, count, what else is told of it, time left.

    Args:
        name: what goes on.
        done: where it starts.
        total: where it ends; None until it is known.
        after_s: seconds before it shows.
    """

    def __init__(self, name: str, done: int, total: int | None, after_s: float = 0) -> None:
        self.pace, self._started = Pace(done), time.perf_counter()
        width = 30 if screen.terminal.width >= WIDE else 10
        texts = [
            TextColumn(text, table_column=Column(no_wrap=True))
            for text in ("{task.description}", "{task.fields[told]}")
        ]
        left = _Left(table_column=Column(no_wrap=True))
        self._progress = Progress(
            texts[0], BarColumn(width), texts[1], left, console=screen.terminal, transient=True, refresh_per_second=4
        )
        self._task = self._progress.add_task(name, total=total, completed=done, told="", pace=self.pace)
        self._timer = threading.Timer(after_s, self._progress.start)
        self._timer.daemon = True
        screen.closing.append(self.close)
        self._timer.start()

    @property
    def took_s(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self._started

    def at(self, done: int, total: int, told: str = "") -> None:
        """Moves it on."""
        self.pace.at(done)
        self._progress.update(self._task, completed=done, total=total, told=f"{done}/{total}{told}")

    def close(self) -> None:
        """Takes it away; harmless when repeated."""
        self._timer.cancel()
        self._timer.join()
        self._progress.stop()
        if self.close in screen.closing:
            screen.closing.remove(self.close)


class TrainingBar(L.Callback):
    """Step, loss, steps per second and time left, on the terminal."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._bar = Bar("training", trainer.global_step, trainer.max_steps)

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        told = f"  loss {_loss(trainer):.4g}  {self._bar.pace.rate}/s"
        self._bar.at(trainer.global_step, trainer.max_steps, told)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._bar.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        screen.close_bars()


class TrainingLines(L.Callback):
    """The same as plain lines: one at the start, then at every tenth of the steps and every few minutes.

    Args:
        announce: takes the first line.
        show: takes the others.
        label: says whose lines they are, as several runs may print at once.
    """

    def __init__(self, announce: Callable[[str], None], show: Callable[[str], None], label: str) -> None:
        self.announce, self.show, self.label = announce, show, label

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pace = Pace(trainer.global_step)
        self._tenth, self._shown = self._tenths(trainer), self._pace.clock()
        start = f", from step {trainer.global_step}" if trainer.global_step else ""
        self.announce(f"{self.label}: training {trainer.max_steps} steps{start}")

    @staticmethod
    def _tenths(trainer: L.Trainer) -> int:
        return LINES * trainer.global_step // trainer.max_steps

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._pace.at(trainer.global_step)
        now = self._pace.clock()
        if self._tenths(trainer) == self._tenth and now - self._shown < LINE_S:
            return
        self._tenth, self._shown = self._tenths(trainer), now
        self.show(
            f"{self.label}: step {trainer.global_step} of {trainer.max_steps} "
            f"({100 * trainer.global_step // trainer.max_steps} %), loss {_loss(trainer):.4g}, "
            f"{self._pace.rate} steps/s, {self._pace.left(trainer.max_steps)} left"
        )


def _loss(trainer: L.Trainer) -> float:
    return float(trainer.callback_metrics.get("loss", float("nan")))


def training_progress(progress: bool | str, label: str) -> list[L.Callback]:
    """Callbacks that tell how far training is: on the terminal as `trainer.progress` says, in the log always."""
    if not wanted(progress):
        return [TrainingLines(screen.note, screen.note, label)]
    if not on_terminal():
        return [TrainingLines(screen.print, screen.print, label)]
    return [TrainingLines(screen.print, screen.note, label), TrainingBar()]


class ProbeProgress:
    """Gives each probe what it reports to: a bar, or lines, once the probe has taken two seconds."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __call__(self, name: str) -> Report | None:
        if not self.enabled:
            return None
        return _probe_bar(name) if on_terminal() else _probe_lines(name)


def _probe_bar(name: str) -> Report:
    bar = Bar(name, 0, None, PATIENCE_S)

    def report(done: int, total: int) -> None:
        bar.at(done, total)
        if done == total:
            bar.close()
            if bar.took_s > PATIENCE_S:
                screen.note(f"{name}: done in {duration(bar.took_s)}")

    return report


def _probe_lines(name: str) -> Report:
    pace = Pace(0)
    started = shown = pace.clock()
    tenth = 0

    def report(done: int, total: int) -> None:
        nonlocal tenth, shown
        pace.at(done)
        now = pace.clock()
        took = now - started
        if done == total:
            if took > PATIENCE_S:
                screen.print(f"{name}: done in {duration(took)}")
        elif now - shown > PATIENCE_S and LINES * done // total > tenth:
            tenth, shown = LINES * done // total, now
            screen.print(f"{name}: {done} of {total}, {pace.left(total)} left")

    return report
