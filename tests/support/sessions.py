"""Short runs of one session, or of several after a kill."""

from pathlib import Path
from typing import Any

import cells
import pytest
from cells import SMALL_MLP

from softvq.tracking.curve import read_curve
from softvq.training.saving import ResumeCheckpoint

SMALL = (
    "data=digits",
    "bottleneck=soft_vq",
    "bottleneck.K=8",
    *SMALL_MLP,
    "trainer.max_steps=40",
    "trainer.log_every_n_steps=5",
    "trainer.checkpoint_after_s=0",
    "trainer.checkpoint_every_s=0",
    "trainer.checkpoint_time_fraction=0",
)
STEPS = list(range(5, 41, 5))


class KilledError(BaseException):
    """Stands for the end of a session."""


def run(folder: Path, *overrides: str, figures: bool = False) -> dict[str, Any]:
    return cells.run(folder, *SMALL, *overrides, figures=figures)


def run_killed(folder: Path, *overrides: str, after: int = 0, saved: int = 40) -> None:
    """A session that ends once `after` steps are trained; checkpoints up to step `saved`."""
    save = ResumeCheckpoint.on_train_batch_end

    def stop(self: ResumeCheckpoint, trainer: Any, *args: Any) -> None:
        if trainer.global_step <= saved:
            save(self, trainer, *args)
        if trainer.global_step >= after:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResumeCheckpoint, "on_train_batch_end", stop)
        with pytest.raises(KilledError):
            run(folder, *overrides)


def run_interrupted(folder: Path, *overrides: str, figures: bool = False) -> dict[str, Any]:
    """A session that ends with rows logged behind its last checkpoint, and a second one to the end."""
    run_killed(folder, *overrides, after=25, saved=15)
    assert [row["step"] for row in read_curve(folder / "metrics.csv")] == STEPS[:5]
    return run(folder, *overrides, figures=figures)
