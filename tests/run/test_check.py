"""What a plan checks of a cell before anything runs, for every bottleneck that there is."""

import sys
from pathlib import Path

import pytest
from cells import make_cell
from trainings import KINDS
from zoo import NAMES

from softvq.run.check import check_cell

QUICK = ("raw", "sim_vq", "residual_vq", *KINDS)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NAMES]
)
def test_every_bottleneck_is_checked_without_weights(tmp_path: Path, name: str) -> None:
    cell = make_cell(tmp_path / "run", "data=digits", f"bottleneck={name}")
    assert (check_cell(cell) > 0) == (name != "raw")
    assert not (tmp_path / "run").exists()


def test_a_tracker_whose_package_is_missing_is_named_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell(tmp_path / "run", "data=digits", "logger=tensorboard")
    check_cell(cell)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install 'softvq\[tensorboard\]' brings it"):
        check_cell(cell)
    check_cell(cell, on_this_machine=False)
