"""A sweep whose workers and own process are killed at random loses and doubles nothing.

RELIABILITY_CELLS says how many cells it has, RELIABILITY_KILLS how many of its workers are killed.
"""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from sweeps import alive, cells, finished, results, running, starts, sweep_here, wait_for

CELLS = int(os.environ.get("RELIABILITY_CELLS", "50"))
KILLS = int(os.environ.get("RELIABILITY_KILLS", "8"))
SWEEP_KILLS = 2  # of the sweep's own process
GRID = (
    "bottleneck=soft_vq,vq",
    f"seed=range(0,{CELLS // 2})",
    "trainer.checkpoint_after_s=0",
    "trainer.checkpoint_every_s=0",
    "trainer.checkpoint_time_fraction=0",
    "probes.clustering.n_init=2",
)
PARALLEL = ("hydra/launcher=local_joblib", "hydra.launcher.n_jobs=2")

pytestmark = [pytest.mark.slow, pytest.mark.process, pytest.mark.timeout(3600)]


def test_a_sweep_under_kills_ends_as_one_that_nobody_touched(tmp_path: Path) -> None:
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    chance, kills, kept = random.Random(0), 0, {}
    for session in range(SWEEP_KILLS + 1):
        with running(folder, *GRID, *PARALLEL) as process:
            assert wait_for(lambda: cells(folder), process)  # type: ignore[arg-type]
            last = session == SWEEP_KILLS
            begun = time.monotonic()
            while process.poll() is None and (last or time.monotonic() < begun + chance.uniform(15, 30)):
                time.sleep(chance.uniform(1, 4))
                workers = [pid for pid in alive(process.pid) if pid != process.pid]
                if workers and kills < KILLS * (session + 1) / (SWEEP_KILLS + 1):
                    with suppress(ProcessLookupError):
                        os.kill(chance.choice(workers), signal.SIGKILL)
                        kills += 1
            if not last:
                process.kill()
                wait_for(lambda process=process: not alive(process.pid))
        now = finished(folder)
        assert kept.items() <= now.items(), "a finished cell was run again"
        kept = now
    with running(folder, *GRID, *PARALLEL) as process:  # cells that lost their processes are tried again
        assert process.wait(1800) == 0, (tmp_path / "killed.out").read_text()[-2000:]
    assert kept.items() <= finished(folder).items()
    assert len(finished(folder)) == CELLS // 2 * 2
    assert not list(folder.rglob("failure.json"))
    assert sum(map(starts, cells(folder))) <= CELLS + 4 * (KILLS + SWEEP_KILLS)
    assert sweep_here(whole, *GRID) == 0
    assert results(folder) == results(whole)
    print(f"{kills} workers and {SWEEP_KILLS} sweeps killed over {CELLS} cells")
