"""When a run is saved: by the clock, when it is told to stop, and at its end."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L

from softvq import stop

WARM_UP_STEPS = 50
AGREED_STEPS = 10  # between two times at which the processes of several devices ask the first whether to save


class ResumeCheckpoint(L.Callback):
    """Saves after some seconds of training, then at intervals that grow with the run, and at the end.

    Args:
        path: handed to Lightning, which names no other; `RunCheckpoints` knows where the files go.
        after_s: seconds of training before the first.
        every_s: seconds between two, at least.
        time_fraction: part of the time trained so far between two, at least.
        where: returns how far the run is and where it goes on from, for a person who stops it.

    Attributes:
        trained_s: seconds of training, earlier sessions included.
        steps_per_s: from step 50 of this session to its last.
        began: whether the first batch has begun: by then everything in the checkpoint has been loaded.
    """

    def __init__(
        self, path: Path, after_s: float, every_s: float, time_fraction: float, where: Callable[[], str]
    ) -> None:
        self.path, self.where = path, where
        self.after_s, self.every_s, self.time_fraction = after_s, every_s, time_fraction
        self.trained_s = 0.0
        self.steps_per_s: float | None = None
        self.began = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        stop.take_over()  # from Lightning, which ends a run on SIGTERM without saving it
        self.began = True
        self._clock = time.perf_counter()
        self._next_save = self.trained_s + (self.every_s if self.trained_s else self.after_s)
        self._warm: tuple[float, int] | None = None

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        now = time.perf_counter()
        self.trained_s, self._clock = self.trained_s + now - self._clock, now
        step = trainer.global_step
        if self._warm is None:
            self._warm = (now, step) if step >= WARM_UP_STEPS else None
        elif step > self._warm[1]:
            self.steps_per_s = (step - self._warm[1]) / (now - self._warm[0])

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        # Not at the end of the batch before: its validation came after that, and a resumed run would not repeat it.
        due, signum = self._decide(trainer)
        if due or signum:
            trainer.save_checkpoint(self.path)
            self._next_save = self.trained_s + max(self.every_s, self.time_fraction * self.trained_s)
        if signum:
            raise stop.Stopped(signum, self.where())

    def _decide(self, trainer: L.Trainer) -> tuple[bool, int | None]:
        """Whether to save now, and by which signal the process was told to stop, if it was.

        The first process decides for all devices: by its own clock, one would save while others waited for its step.
        """
        decision = (self.trained_s >= self._next_save, stop.requested())
        if trainer.world_size == 1:
            return decision
        return trainer.strategy.broadcast(decision) if trainer.global_step % AGREED_STEPS == 0 else (False, None)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"trained_s": self.trained_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        trained_s = state_dict["trained_s"]
        if not isinstance(trained_s, float) or not 0 <= trained_s < math.inf:
            raise TypeError(f"trained_s is {trained_s!r}, no number of seconds")
        self.trained_s = trained_s
