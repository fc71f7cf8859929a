"""When a run is saved."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from softvq import stop
from softvq.training.saving import ResumeCheckpoint


def trainer_at(step: int, **attributes: Any) -> Any:
    saves: list[Any] = []
    return SimpleNamespace(
        world_size=1, global_step=step, max_steps=100, save_checkpoint=saves.append, saves=saves, **attributes
    )


def checkpoint_every(seconds: float, path: Path) -> ResumeCheckpoint:
    return ResumeCheckpoint(
        path, after_s=seconds, every_s=seconds, time_fraction=0, where=lambda: "vq, step 10, folder"
    )


def test_it_saves_by_the_clock(tmp_path: Path) -> None:
    for seconds, saves in ((0, True), (1e9, False)):
        trainer, checkpoint = trainer_at(10), checkpoint_every(seconds, tmp_path)
        checkpoint.on_train_start(trainer, None)  # type: ignore[arg-type]
        checkpoint.on_train_batch_end(trainer)
        checkpoint.on_train_batch_start(trainer)
        assert bool(trainer.saves) == saves


@pytest.mark.parametrize("first_ones", [True, False])
def test_a_process_saves_when_the_first_ones_clock_says_so(first_ones: bool, tmp_path: Path) -> None:
    # Saving waits for all processes: one that saved alone would wait for a step of the others, and they for its own.
    strategy = SimpleNamespace(broadcast=lambda _: (first_ones, None))
    trainer = trainer_at(10, is_global_zero=False, strategy=strategy)
    trainer.world_size = 2
    checkpoint = checkpoint_every(1e9 if first_ones else 0, tmp_path)
    checkpoint.on_train_start(trainer, None)  # type: ignore[arg-type]
    checkpoint.on_train_batch_end(trainer)
    checkpoint.on_train_batch_start(trainer)
    assert bool(trainer.saves) == first_ones


def test_it_saves_and_stops_when_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, checkpoint = trainer_at(10), checkpoint_every(1e9, tmp_path)
    checkpoint.on_train_start(trainer, None)  # type: ignore[arg-type]
    monkeypatch.setattr(stop, "requested", lambda: 15)
    with pytest.raises(stop.Stopped, match="stopped by SIGTERM: vq, step 10, folder; the same command goes on"):
        checkpoint.on_train_batch_start(trainer)
    assert len(trainer.saves) == 1
