"""SIGTERM and Ctrl-C, sent to real runs and sweeps: they save at the next step and say where they stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sweeps import PATIENCE_S, ROOT, SMALL, alive, kill_group, wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(2 * PATIENCE_S)]

# Nothing but a stop saves these within a test.
LONG = (*SMALL, "trainer.max_steps=1000000", "trainer.checkpoint_after_s=10000")
WHERE = r"soft_vq on digits, seeds? [\d, ]+, step (\d+), \S+"
KINDS = {
    "a run": (),
    "two devices": ("trainer.devices=2",),
    "a sweep": ("-m", "seed=0,1,2"),
    "a parallel sweep": ("-m", "seed=0,1,2", "hydra/launcher=local_joblib", "hydra.launcher.n_jobs=2"),
    "stacked seeds": ("-m", "seed=0,1", "trainer.seeds_per_process=2"),
    "submitit": ("-m", "seed=0,1", "hydra/launcher=local_submitit"),
    "ray": ("-m", "seed=0,1", "hydra/launcher=local_ray"),
}


@contextmanager
def started(folder: Path, *overrides: str, after: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    where = f"hydra.sweep.dir={folder}" if "-m" in overrides else f"hydra.run.dir={folder}"
    with subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *overrides, *LONG, *after, where],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            kill_group(process)  # type: ignore[arg-type]


def steps(folder: Path) -> list[Path]:
    """The training curves that have begun."""
    return list(folder.rglob("metrics.csv"))


def size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def check_stopped(folder: Path, process: subprocess.Popen[str], signum: int, cells: int) -> None:
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signum, err
    (line,) = err.splitlines()
    word = "interrupted" if signum == signal.SIGINT else "stopped by SIGTERM"
    assert re.fullmatch(rf"{word}: {WHERE}(; {WHERE})*; the same command goes on from there", line)
    assert len(list(folder.rglob("last.ckpt"))) == cells
    assert not list(folder.rglob("failure.json"))


CASES = [
    ("a run", signal.SIGTERM, 1),
    pytest.param("a run", signal.SIGINT, 1, marks=pytest.mark.slow),
    pytest.param("two devices", signal.SIGTERM, 1, marks=pytest.mark.slow),
    pytest.param("a sweep", signal.SIGTERM, 1, marks=pytest.mark.slow),
    ("a parallel sweep", signal.SIGTERM, 2),
    pytest.param("a parallel sweep", signal.SIGINT, 2, marks=pytest.mark.slow),
    pytest.param("stacked seeds", signal.SIGINT, 2, marks=pytest.mark.slow),
    pytest.param("submitit", signal.SIGTERM, 2, marks=pytest.mark.slow),
    pytest.param("ray", signal.SIGTERM, 2, marks=pytest.mark.slow),
    pytest.param("ray", signal.SIGINT, 2, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "signum", "cells"), CASES)
def test_it_saves_at_the_next_step_and_says_where(kind: str, signum: int, cells: int, tmp_path: Path) -> None:
    needs_ray(kind)
    with started(tmp_path, *KINDS[kind]) as process:
        assert wait_for(lambda: len(steps(tmp_path)) >= cells, process)  # type: ignore[arg-type]
        if signum == signal.SIGINT:
            os.killpg(process.pid, signum)  # as a terminal does
        else:
            process.send_signal(signum)  # as a supervisor does
        check_stopped(tmp_path, process, signum, cells)
        wait_for(lambda: not alive(process.pid))


def needs_ray(kind: str) -> None:
    if kind == "ray":
        pytest.importorskip("ray", reason="ray is not installed (pip install 'softvq[ray]')")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a run", "a parallel sweep"])
def test_probing_is_broken_off_and_says_where(kind: str, tmp_path: Path) -> None:
    endless = ("trainer.max_steps=20", "probes.clustering.n_init=10000000")
    with started(tmp_path, *KINDS[kind], after=endless) as process:
        assert wait_for(lambda: list(tmp_path.rglob("last.ckpt")), process)  # the last thing before the probes
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 143, err
    (line,) = err.splitlines()
    assert re.search(r"seed 0, step 20, ", line)
    assert not list(tmp_path.rglob("failure.json"))
    assert not list(tmp_path.rglob("metrics.json"))


@pytest.mark.slow
def test_the_same_command_goes_on_from_there(tmp_path: Path) -> None:
    for _ in range(2):
        with started(tmp_path) as process:
            before = size(tmp_path / "metrics.csv")
            assert wait_for(lambda before=before: size(tmp_path / "metrics.csv") > before, process)  # type: ignore
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=120)
        match = re.search(WHERE, err)
        assert match
        assert process.returncode == 143
    assert re.search(r"for 1,000,000 steps, from step \d+", out)


def listens(pid: int) -> bool:
    """Whether a process has begun to handle SIGTERM; before, Python itself ends it as it ends every program."""
    try:
        caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("delay_s", [0.0, pytest.param(1.5, marks=pytest.mark.slow)])
def test_a_start_is_broken_off_with_one_line(delay_s: float, tmp_path: Path) -> None:
    with started(tmp_path / "run", *KINDS["a parallel sweep"]) as process:
        assert wait_for(lambda: listens(process.pid), process)  # type: ignore[arg-type]
        time.sleep(delay_s)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert "Traceback" not in out + err
    assert len(err.splitlines()) == 1
    wait_for(lambda: not alive(process.pid))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a run", "two devices", "a parallel sweep", "submitit", "ray"])
def test_ctrl_c_however_often_ends_in_one_line(kind: str, tmp_path: Path) -> None:
    needs_ray(kind)
    with started(tmp_path, *KINDS[kind]) as process:
        assert wait_for(lambda: steps(tmp_path), process)  # type: ignore[arg-type]
        for _ in range(30):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.02)
            if process.poll() is not None:
                break
        _, err = process.communicate(timeout=120)
        assert process.returncode == 130
        assert len(err.splitlines()) == 1, err
        assert err.startswith("interrupted: ")
        wait_for(lambda: not alive(process.pid))


@pytest.mark.parametrize(
    "kind", ["a parallel sweep", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("two devices", "submitit"))]
)
@pytest.mark.parametrize("moment", ["start", pytest.param("training", marks=pytest.mark.slow)])
def test_whatever_a_killed_program_started_ends_with_it(kind: str, moment: str, tmp_path: Path) -> None:
    with started(tmp_path, *KINDS[kind]) as process:
        if moment == "training":
            assert wait_for(lambda: steps(tmp_path), process)  # type: ignore[arg-type]
        else:  # as soon as anything was started
            assert wait_for(lambda: len(alive(process.pid)) > 1 or children(process.pid), process)  # type: ignore[arg-type]
        started_by_it = [*alive(process.pid), *children(process.pid)]
        process.kill()
        process.wait()
        wait_for(lambda: not any(exists(pid) for pid in started_by_it))


def children(pid: int) -> Sequence[int]:
    """The processes that a process has started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def exists(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
