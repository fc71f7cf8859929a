"""Every bottleneck as a whole run: killed at a step, started again, and probed once more."""

import json
from pathlib import Path

import pytest
from cells import SMALL_MLP, evaluate, killed, results, run, start
from zoo import TRAINED

STEPS = ("trainer.max_steps=20", "trainer.log_every_n_steps=6", "data.val_fraction=0.1", "trainer.val_every_n_steps=8")


@pytest.mark.slow
@pytest.mark.parametrize("bottleneck", TRAINED)
def test_a_killed_run_goes_on_from_its_checkpoint_bit_for_bit_and_can_be_evaluated(
    bottleneck: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("data=digits", f"bottleneck={bottleneck}", *SMALL_MLP, *STEPS)
    folder = killed(tmp_path / "killed", monkeypatch, *overrides, at=9)
    assert start(folder.path, *overrides).status == "finished"
    whole = run(tmp_path / "whole", *overrides)
    assert results(json.loads(folder.metrics.read_text())) == results(whole)
    assert folder.curve.read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()
    assert evaluate(folder.path)["probes"] == whole["probes"]
