"""How far a run is: bars where a person watches a terminal, a line now and then elsewhere and in the run's log."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L

from softvq.bounded_files import printable
from softvq.console import counted, screen
from softvq.console.bars import Bar, Pace, left, rate
from softvq.data.dataset import DatasetInfo

LINES = 10  # in a run, at most, unless it is slow
SOON_S = 5.0  # between two lines of a fast run, at least
LATE_S = 300.0  # between two lines of a slow run, at most


class TrainingBar(L.Callback):
    """Step, loss, steps per second and time left, on the terminal."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._bar = Bar("training", trainer.global_step, trainer.max_steps)

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        told = f"loss {_loss(trainer):.4g}  {rate(self._bar.task)}/s"
        self._bar.at(trainer.global_step, trainer.max_steps, told)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._bar.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        screen.close_bars()


@dataclass(frozen=True)
class About:
    """What a person wants to know of a run when it starts.

    Attributes:
        info: of its data.
        folder: where it goes.
        threads: of torch.
    """

    info: DatasetInfo
    folder: Path
    threads: int

    def data_line(self) -> str:
        """How many images there are, of what shape and in how many classes, and where they come from."""
        info, (height, width, channels) = self.info, self.info.image_shape
        classes = f" in {info.classes} class{'es' if info.classes > 1 else ''}" if info.classes else ""
        return (
            f"{info.train_size:,} training and {info.test_size:,} test images of {height} x {width} x {channels}"
            f"{classes} from {printable(info.source)}"
        )

    def model_line(self, trainer: L.Trainer, pl_module: L.LightningModule) -> tuple[str, str]:
        """How large the model is; what it runs on, and where its results go."""
        parameters = counted(sum(parameter.numel() for parameter in pl_module.parameters()), "parameter")
        device = trainer.strategy.root_device.type
        where = f"{trainer.world_size} x {device}" if trainer.world_size > 1 else device
        where += f" ({self.threads} threads)" if device == "cpu" and self.threads > 1 else ""
        return f"{parameters} for ", f" on {where}, in {self.folder}"


class TrainingLines(L.Callback):
    """The same as plain lines: what begins, then how far it is at times, and the end.

    Args:
        announce: takes the first lines.
        show: takes the others.
        label: begins each line, as several runs may print at once.
        about: what is known of the run before training.
        clock: in seconds.
    """

    def __init__(
        self,
        announce: Callable[[str], None],
        show: Callable[[str], None],
        label: str,
        about: About | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.announce, self.show, self.label, self.about, self.clock = announce, show, label, about, clock

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pace = Pace(trainer.global_step, trainer.max_steps, self.clock)
        self._tenth, self._shown_s = self._tenths(trainer), self.clock()
        if self.about is not None:
            self.announce(f"{self.label}: {self.about.data_line()}")
        start = f", from step {trainer.global_step:,}," if trainer.global_step else ""
        model, where = self.about.model_line(trainer, pl_module) if self.about is not None else ("", "")
        self.announce(f"{self.label}: training {model}{counted(trainer.max_steps, 'step')}{start}{where}")

    @staticmethod
    def _tenths(trainer: L.Trainer) -> int:
        return LINES * trainer.global_step // trainer.max_steps

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        task = self._pace.at(trainer.global_step, trainer.max_steps)
        since, further = self.clock() - self._shown_s, self._tenths(trainer) != self._tenth
        if not (trainer.global_step == trainer.max_steps or since >= LATE_S or (further and since >= SOON_S)):
            return
        self._tenth, self._shown_s = self._tenths(trainer), self.clock()
        self.show(
            f"{self.label}: step {trainer.global_step} of {trainer.max_steps} "
            f"({100 * trainer.global_step // trainer.max_steps} %), loss {_loss(trainer):.4g}, "
            f"{rate(task)} steps/s, {left(task)} left"
        )


def _loss(trainer: L.Trainer) -> float:
    return float(trainer.callback_metrics.get("loss", float("nan")))


def training_progress(progress: bool | str, label: str, about: About | None = None) -> list[L.Callback]:
    """Callbacks that tell how far training is: on the terminal unless `trainer.progress=false`, in the log always."""
    if not progress:
        return [TrainingLines(screen.note, screen.note, label, about)]
    if not screen.has_terminal:
        return [TrainingLines(screen.print, screen.print, label, about)]
    return [TrainingLines(screen.print, screen.note, label, about), TrainingBar()]
