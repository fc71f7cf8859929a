"""What a plan checks of a cell before anything runs, for every bottleneck that there is."""

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
