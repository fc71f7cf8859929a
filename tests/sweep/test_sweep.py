"""A sweep runs what is missing, once, whatever happened before; and tells how each cell ended."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from sweeps import (
    PATIENCE_S,
    ROOT,
    cells,
    command,
    finished,
    running,
    starts,
    sweep,
    sweep_here,
    wait_for,
)

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)

SUPPORT = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests" / "support")])  # where the odd callbacks are


@pytest.mark.slow
@pytest.mark.process
def test_two_sweeps_of_one_folder_share_its_cells(tmp_path: Path) -> None:
    folder, out, go = tmp_path / "logs", tmp_path / "logs.out", tmp_path / "go"
    grid = ("bottleneck=identity,vq", "hydra/launcher=basic", "+trainer.callbacks.odd._target_=sweeps.Waits")
    environment = {"GO": str(go), "PYTHONPATH": SUPPORT}
    with running(folder, *grid, **environment) as first, running(folder, *grid, **environment) as second:
        assert wait_for(lambda: "waiting: another process is at" in out.read_text(), first)
        go.touch()
        assert [first.wait(), second.wait()] == [0, 0], out.read_text()
    assert [starts(cell) for cell in cells(folder)] == [1, 1]
    assert len(finished(folder)) == 2


@pytest.mark.slow
@pytest.mark.process
def test_dying_workers_take_only_their_own_cells_with_them(tmp_path: Path) -> None:
    odd = "+trainer.callbacks.odd._target_=sweeps.Dies,sweeps.Harmless"
    ended = sweep(tmp_path, "seed=0,1", odd, "hydra/launcher=local_joblib", PYTHONPATH=SUPPORT)
    assert ended.returncode == 1
    assert "2 finished, 0 skipped, 2 failed" in ended.stdout
    assert "TerminatedWorkerError" in ended.stdout
    assert len(list(tmp_path.rglob("failure.json"))) == 2
    assert len(finished(tmp_path)) == 2


@pytest.mark.slow
def test_failed_cell_leaves_the_others_alone_and_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ("bottleneck=vq", "optimizer.lr=1e30,1e-3", "trainer.max_steps=20")
    assert sweep_here(tmp_path, *grid) == 1
    told = capsys.readouterr().out
    assert "1 finished, 0 skipped, 1 failed" in told
    failure = next(tmp_path.rglob("failure.json"))
    assert f"failed: {failure.parent}" in told
    message = json.loads(failure.read_text())["message"]
    assert message in told
    assert message in (failure.parent / "run.log").read_text()
    kept = finished(tmp_path)
    assert sweep_here(tmp_path, *grid) == 1
    told = capsys.readouterr().out
    assert "1 finished, 1 to run (0 to resume, 1 to retry)" in told
    assert "0 finished, 1 skipped, 1 failed" in told
    assert starts(failure.parent) == 2
    assert finished(tmp_path) == kept


@pytest.mark.slow
def test_exit_of_a_cell_is_its_failure_and_not_the_sweeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = "+trainer.callbacks.odd._target_=sweeps.Exits,sweeps.Harmless"
    assert sweep_here(tmp_path, "bottleneck=vq", "trainer.max_steps=20", odd) == 1
    told = capsys.readouterr().out
    assert "1 finished, 0 skipped, 1 failed" in told
    assert "the cell exited with status 3" in told


def test_interrupt_ends_the_sweep_and_fails_no_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = "+trainer.callbacks.odd._target_=sweeps.Interrupts,sweeps.Harmless"
    assert sweep_here(tmp_path, "bottleneck=vq", "trainer.max_steps=1000", odd) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"interrupted: vq on digits, seed 0, step \d+, .*; the same command goes on from there", line)
    assert list(tmp_path.rglob("last.ckpt"))
    assert not list(tmp_path.rglob("failure.json"))
    assert not finished(tmp_path)


@pytest.mark.slow
def test_changed_configuration_is_refused_and_resume_never_starts_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ("bottleneck=vq", "hydra.sweep.subdir=one", "trainer.max_steps=20")
    assert sweep_here(tmp_path, *one) == 0
    kept = finished(tmp_path)
    assert sweep_here(tmp_path, *one, "seed=1") == 1
    out, err = capsys.readouterr()
    assert "seed: 0 -> 1" in out
    assert "nothing was started" in err
    assert finished(tmp_path) == kept
    (tmp_path / "one" / ".metrics.json.123").write_text("{")  # as a killed process leaves it
    assert sweep_here(tmp_path, *one, "seed=1", "resume=never") == 0
    assert json.loads((tmp_path / "one" / "metrics.json").read_text())["seed"] == 1
    assert starts(tmp_path / "one") == 2
    assert not list((tmp_path / "one").glob(".*.123"))


def loaded_by_sweep(folder: Path, *overrides: str) -> tuple[str, str]:
    """What a sweep prints, and the large libraries that its own process has loaded by its end."""
    program = (
        "import atexit, runpy, sys; sys.argv = sys.argv[1:]; large = {'torch', 'lightning', 'sklearn', 'matplotlib'}; "
        "atexit.register(lambda: print('loaded', sorted(large & set(sys.modules)))); "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *command(folder, *overrides)[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    told, _, libraries = ended.stdout.rpartition("loaded ")
    return told, libraries.strip()


@pytest.mark.process
def test_finished_cells_are_skipped_without_loading_torch(tmp_path: Path) -> None:
    grid = ("bottleneck=vq", "seed=0,1", "trainer.max_steps=5", "hydra/launcher=basic")
    assert sweep_here(tmp_path, *grid) == 0
    kept = finished(tmp_path)
    told, libraries = loaded_by_sweep(tmp_path, *grid)
    assert "0 finished, 2 skipped, 0 failed" in told
    assert libraries == "[]"
    assert finished(tmp_path) == kept


@pytest.mark.process
def test_workers_load_torch_for_the_plan_and_the_sweep_itself_never_does(tmp_path: Path) -> None:
    grid = ("bottleneck=vq", "seed=0,1", "trainer.max_steps=5", "hydra/launcher=local_joblib")
    told, libraries = loaded_by_sweep(tmp_path, *grid, "hydra.launcher.n_jobs=2")
    assert "how long it takes is not known with 2 at a time: no run of the same kind is finished" in told
    assert "2 finished, 0 skipped, 0 failed" in told
    assert libraries == "[]"


@pytest.mark.process
def test_one_cell_at_a_time_needs_no_worker(tmp_path: Path) -> None:
    ended = sweep(
        tmp_path, "bottleneck=vq", "trainer.max_steps=5", "hydra/launcher=local_joblib", "hydra.launcher.n_jobs=1"
    )
    assert ended.returncode == 0, ended.stderr
    assert "1 finished, 0 skipped, 0 failed" in ended.stdout


@pytest.mark.process
def test_a_setting_that_does_not_fit_is_found_in_a_worker_too(tmp_path: Path) -> None:
    ended = sweep(
        tmp_path, "bottleneck=vq,soft_vq", "bottleneck.K=1", "hydra/launcher=local_joblib", "hydra.launcher.n_jobs=2"
    )
    assert ended.returncode == 1
    assert "bottleneck.K must be at least 2, got 1" in ended.stdout
    assert "nothing was started" in ended.stderr


@pytest.mark.slow
def test_plan_names_duplicates_and_lists_all_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep_here(tmp_path, "bottleneck=vq,vq", "hydra.sweeper.plan_only=true") == 0
    told = capsys.readouterr().out
    assert "1 duplicate," in told
    assert "bottleneck=vq is the same cell as" in told
    assert sweep_here(tmp_path, "bottleneck=identity,vq,vqq", "bottleneck.K=3", "optimizer.lr=1e-3") == 1
    out, err = capsys.readouterr()
    assert "2 invalid" in out
    assert "there is no key K in bottleneck" in out
    assert "did you mean vq?" in out
    assert "nothing was started" in err
    assert not cells(tmp_path)


@pytest.mark.process
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("experiment=smoke,demo", "smoke, demo names a launcher or swept choices, which Hydra drops"),
        ("hydra.launcher.n_jobs=0", "hydra.launcher.n_jobs must be a number of jobs, or -1 for one a core, got 0"),
        ("seed=range(0,1000000000)", "seed=range(0,1000000000) names more than 100,000 values; name fewer"),
        ("seed=shuffle(range(0,1e9))", "seed=shuffle(range(0,1e9)) names more than 100,000 values; name fewer"),
        (
            "seed=interval(0,1)",
            "seed=interval(0,1) is for a search; add hydra/sweeper=search, or name values",
        ),
        ("seed=range(0)", "there is no cell to run: seed=range(0) names no value"),
        ("bottleneck=glob(x*)", "there is no cell to run: bottleneck=glob(x*) names no value"),
    ],
)
def test_what_hydra_would_drop_or_stop_at_is_named(override: str, message: str, tmp_path: Path) -> None:
    ended = sweep(tmp_path, *override.split(), "hydra/launcher=local_joblib")
    assert ended.returncode == 1
    assert message in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.process
def test_a_hundred_cells_are_planned_in_seconds(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime  # not the clock, which other work holds up
    grid = ("bottleneck=identity,vae,vq,soft_vq", "seed=range(0,25)", "hydra.sweeper.plan_only=true")
    ended = sweep(tmp_path, *grid)
    assert "100 cells: 0 finished, 100 to run" in ended.stdout, ended.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 20
