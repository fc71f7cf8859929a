"""A sweep that is killed, however often, ends as one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweeps import PATIENCE_S, ROOT, alive, cells, finished, kill_group, results, running, sweep, wait_for

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)

OFTEN = ("trainer.checkpoint_after_s=0.1", "trainer.checkpoint_every_s=0.1")


def break_off(folder: Path, overrides: tuple[str, ...], moment: str, parent_only: bool, delay_s: float) -> None:
    """Starts a sweep and kills it a little after something has happened."""
    done, begun = len(finished(folder)), len(cells(folder))
    happened = {
        "planning": lambda: True,
        "begun": lambda: len(cells(folder)) > begun,
        "checkpoint": lambda: any(time.time() - p.stat().st_mtime < 1 for p in folder.rglob("last.ckpt")),
        "finished": lambda: len(finished(folder)) > done,
    }[moment]
    with running(folder, *overrides, *OFTEN) as process:
        assert wait_for(happened, process), "it ended before it was killed"
        time.sleep(delay_s)
        if parent_only:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            workers = alive(process.pid)
            wait_for(lambda: not set(workers) & set(alive(process.pid)))
        else:
            kill_group(process)


def check_that_killing_changes_nothing(
    folder: Path, unbroken: Path, overrides: tuple[str, ...], count: int, kills: list[tuple[str, bool, float]]
) -> None:
    kept: dict[str, tuple[int, int]] = {}
    for moment, parent_only, delay_s in kills:
        break_off(folder, overrides, moment, parent_only, delay_s)
        now = finished(folder)
        assert kept.items() <= now.items()  # what was finished has not run again
        kept = now
    assert len(kept) < count  # else there was nothing left to resume
    last = sweep(folder, *overrides)
    assert last.returncode == 0, last.stdout + last.stderr
    assert f"{count - len(kept)} finished, {len(kept)} skipped, 0 failed" in last.stdout
    assert kept.items() <= finished(folder).items()
    assert not list(folder.rglob(".*.json.*")), "half-written files are left"
    assert sweep(unbroken, *overrides, "hydra/launcher=basic").returncode == 0
    assert len(finished(folder)) == count
    assert results(folder) == results(unbroken)


@pytest.mark.process
def test_sweep_killed_twice_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    overrides = ("bottleneck=identity,vq", "seed=0,1", "hydra/launcher=local_joblib", "trainer.max_steps=200")
    kills = [("finished", True, 0.0), ("checkpoint", False, 0.0)]
    check_that_killing_changes_nothing(tmp_path / "broken", tmp_path / "unbroken", overrides, 4, kills)


@pytest.mark.slow
@pytest.mark.process
def test_sweep_of_twelve_cells_killed_five_times_at_random(tmp_path: Path) -> None:
    seed = random.randrange(1000)
    print(f"moments drawn from seed {seed}")
    draw = random.Random(seed)
    overrides = (
        "bottleneck=identity,vq,soft_vq",
        "seed=0,1,2,3",
        "hydra/launcher=local_joblib",
        "trainer.max_steps=200",
    )
    moments = ["finished", "finished", *draw.choices(["planning", "begun", "checkpoint"], k=3)]
    draw.shuffle(moments)
    kills = [(moment, draw.random() < 0.5, draw.uniform(0, 2)) for moment in moments]
    check_that_killing_changes_nothing(tmp_path / "broken", tmp_path / "unbroken", overrides, 12, kills)
    assert tables(tmp_path / "broken") == tables(tmp_path / "unbroken")


def tables(folder: Path) -> list[str]:
    """What the report makes of a sweep, less its page, which tells paths and times."""
    out = folder / "report"
    subprocess.run([sys.executable, "-m", "softvq", "report", str(folder), "--out", str(out)], cwd=ROOT, check=True)
    return [(out / name).read_text() for name in ("tables.md", "tables.tex", "results.json")]
