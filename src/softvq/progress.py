"""Progress bars for training and probes, where a person is watching."""

import sys
import time
from typing import Any

import lightning as L
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from softvq.console import screen
from softvq.probes.progress import Progress as Report

PATIENCE_S = 2.0


def wanted(progress: bool | str) -> bool:
    """Whether to show bars: `trainer.progress` true, false, or auto for "where the output is a terminal"."""
    if progress not in (True, False, "auto"):
        raise ValueError(f"trainer.progress must be true, false or auto, got {progress!r}")
    return sys.stdout.isatty() if progress == "auto" else bool(progress)


def _bar(*extra: TextColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *extra,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=screen.terminal,
        transient=True,
    )


class TrainingProgress(L.Callback):
    """Step, loss, steps per second and time left."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._first, self._clock = trainer.global_step, time.perf_counter()
        self._progress = _bar(TextColumn("loss {task.fields[loss]:.4g}"), TextColumn("{task.fields[rate]:.0f} steps/s"))
        self._task = self._progress.add_task("training", total=trainer.max_steps, loss=float("nan"), rate=0.0)
        self._progress.update(self._task, completed=trainer.global_step)
        self._progress.start()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        rate = (trainer.global_step - self._first) / (time.perf_counter() - self._clock)
        loss = float(trainer.callback_metrics.get("loss", float("nan")))
        self._progress.update(self._task, completed=trainer.global_step, loss=loss, rate=rate)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._progress.stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if hasattr(self, "_progress"):
            self._progress.stop()


class ProbeProgress:
    """Gives each probe what it reports to: a bar that appears once the probe has taken two seconds."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __call__(self, name: str) -> Report | None:
        if not self.enabled:
            return None
        started = time.perf_counter()
        bar = _bar()
        task = bar.add_task(name, total=None)

        def report(done: int, total: int) -> None:
            if not bar.live.is_started and time.perf_counter() - started > PATIENCE_S:
                bar.start()
            bar.update(task, completed=done, total=total)
            if done == total:
                bar.stop()

        return report
