"""Runs that are killed at random moments end, to the last bit, as runs that nobody touched.

RELIABILITY_KILLS says how often each is killed; the suite's default is small.
"""

import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest
from cells import ROOT, SMALL_MLP, make_cell, results
from forks import killed_at_random, start, wait

from softvq.run.complete import complete
from softvq.run_folder import RunFolder
from softvq.training.checkpoint import read_checkpoint

KILLS = int(os.environ.get("RELIABILITY_KILLS", "3"))
BOTTLENECKS = sorted(path.stem for path in (ROOT / "conf" / "bottleneck").glob("*.yaml"))
LONG = (
    "trainer.max_steps=150",
    "trainer.log_every_n_steps=7",
    "trainer.val_every_n_steps=40",
    "trainer.checkpoint_after_s=0",
    "trainer.checkpoint_every_s=0",
    "trainer.checkpoint_time_fraction=0",
    "data.val_fraction=0.1",
    "data=digits",
)

pytestmark = [pytest.mark.slow, pytest.mark.process, pytest.mark.timeout(1200)]


def finish(folder: Path, *overrides: str) -> None:
    (outcome,) = complete([make_cell(folder, *overrides)])
    assert outcome.status in ("finished", "skipped"), outcome.message


def check_equal(killed: RunFolder, whole: RunFolder) -> None:
    assert results(json.loads(killed.metrics.read_text())) == results(json.loads(whole.metrics.read_text()))
    assert killed.curve.read_bytes() == whole.curve.read_bytes()
    weights = [read_checkpoint(folder.checkpoint)["state_dict"] for folder in (killed, whole)]
    assert weights[0].keys() == weights[1].keys()
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    assert not list(killed.path.rglob(".*.ckpt")), "a killed process's half file was left"


@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_a_run_killed_at_random_moments_ends_as_an_unbroken_one(bottleneck: str, tmp_path: Path) -> None:
    network = () if bottleneck == "raw" else SMALL_MLP
    overrides = (*LONG, f"bottleneck={bottleneck}", f"data.root={tmp_path}", *network)
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    began = time.monotonic()
    assert wait(start(lambda: finish(whole.path, *overrides), tmp_path / "log"), 600) == 0, (
        tmp_path / "log"
    ).read_text()[-2000:]
    took = time.monotonic() - began
    chance = random.Random(bottleneck)
    for within_s in (took / 2**n for n in range(6)):
        trial = killed_at_random(lambda: finish(killed.path, *overrides), tmp_path / "log", KILLS, within_s, chance)
        if trial.kills:
            break
        shutil.rmtree(killed.path)  # it was faster than the first kill: once more, with an earlier one
    assert trial.kills
    check_equal(killed, whole)
