"""How much of a sweep is left, as it is told from moment to moment."""

import pytest
from omegaconf import OmegaConf

from softvq.run.cell import Outcome
from softvq.sweep import progress
from softvq.sweep.plan import PlannedCell

CELLS = [PlannedCell([f"seed={seed}"]) for seed in range(6)]


def test_the_time_left_runs_down_between_the_ends_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(progress.SweepProgress, "_label", lambda *_: "cell")
    launcher = {"_target_": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", "n_jobs": 2}
    shown = progress.SweepProgress(len(CELLS), OmegaConf.create(launcher))
    shown.expect(CELLS, [])
    assert shown.told() == "0 of 6 cells"
    now = 20
    shown.ended({planned.name: Outcome("failed", "") for planned in CELLS[:2]})
    assert shown.told() == "2 of 6 cells, 40 s left"  # 10 s a cell
    now = 35
    assert shown.told() == "2 of 6 cells, 25 s left"
    now = 45  # if both that run ended at once, four cells would have taken 45 s
    assert shown.told() == "2 of 6 cells, 23 s left"
