"""What TensorBoard has of a run."""

from pathlib import Path

import pytest
from sessions import STEPS, run_interrupted
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from softvq.tracking.curve import read_curve


@pytest.mark.slow
def test_tensorboard_holds_one_curve_of_an_interrupted_run_and_its_results(tmp_path: Path) -> None:
    metrics = run_interrupted(tmp_path, "logger=tensorboard", figures=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    loss = events.Scalars("train/loss")
    assert [event.step for event in loss] == STEPS
    expected = [row["train/loss"] for row in read_curve(tmp_path / "metrics.csv")]
    assert [event.value for event in loss] == pytest.approx(expected, rel=1e-6)
    nmi = events.Scalars("probes/clustering_nmi")
    assert [(event.step, event.value) for event in nmi] == [(40, pytest.approx(metrics["probes"]["clustering_nmi"]))]
    assert events.Tags()["images"] == sorted(f"figures/{file.stem}" for file in (tmp_path / "figures").glob("*.png"))
