"""Several devices train as one does."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cells import QUICK, ROOT, SMALL_MLP, run


def curve(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


# State outside gradients, a start from data, a choice over the whole batch, a loss that is not the images' mean.
@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("bottleneck", ["soft_vq", "vq_ema_kmeans", "vq_ema_revival", "batch_topk", "capacity_vae"])
def test_two_devices_train_as_one_does(bottleneck: str, tmp_path: Path) -> None:
    by_the_clock = ("trainer.checkpoint_after_s=0.03", "trainer.checkpoint_every_s=0.03")  # of two processes
    overrides = ("data=digits", f"bottleneck={bottleneck}", "trainer.max_steps=60", *by_the_clock, *SMALL_MLP)
    one = run(tmp_path / "one", *overrides)
    command = [sys.executable, str(ROOT / "train.py"), *QUICK, *overrides, "trainer.devices=2"]
    done = subprocess.run([*command, f"hydra.run.dir={tmp_path / 'two'}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    two = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert two["provenance"]["devices"] == 2
    assert two["reconstruction"]["test_mse"] == pytest.approx(one["reconstruction"]["test_mse"], rel=1e-5)
    for ours, theirs in zip(curve(tmp_path / "two"), curve(tmp_path / "one"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
