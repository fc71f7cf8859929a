"""Cells that are killed, finished, changed or damaged, and what the next start makes of them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cells import QUICK, ROOT, SMALL_MLP, make_cell, results, run

from softvq.run.cell import ChangedConfigError, complete
from softvq.run_folder import DamagedFileError, RunFolder
from softvq.tracking.curve import CurveLogger
from softvq.training.checkpoint import ResumeCheckpoint, read_checkpoint
from softvq.training.module import NonFiniteLossError


def test_a_killed_run_started_again_ends_with_the_numbers_of_an_unbroken_one(tmp_path: Path) -> None:
    overrides = [
        *QUICK, *SMALL_MLP, "data=digits", "bottleneck=soft_vq", "trainer.max_steps=1000",
        "trainer.log_every_n_steps=7",
        "trainer.checkpoint_after_s=0.1", "trainer.checkpoint_every_s=0.1",
    ]  # fmt: skip
    command = [sys.executable, str(ROOT / "train.py"), *overrides]
    broken = RunFolder(tmp_path / "broken")
    process = subprocess.Popen([*command, f"hydra.run.dir={broken.path}"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not broken.checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert broken.checkpoint.exists()
    assert not broken.metrics.exists(), "the run was over before it could be killed"

    again = subprocess.run([*command, f"hydra.run.dir={broken.path}"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    whole = run(tmp_path / "whole", *overrides)
    assert results(json.loads(broken.metrics.read_text())) == results(whole)
    assert broken.curve.read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()


DIES = """
import os
import lightning as L

class InFirstSession(L.Callback):
    def on_validation_start(self, trainer, pl_module):
        if trainer.global_step == 50 and not os.environ.get("AGAIN"):
            os._exit(9)
"""


def test_a_run_that_dies_in_a_validation_loses_no_row_of_its_curve(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(DIES)
    overrides = [
        *QUICK, *SMALL_MLP, "data=digits", "bottleneck=vq", "trainer.max_steps=100",
        "data.val_fraction=0.1", "trainer.val_every_n_steps=50", "trainer.checkpoint_time_fraction=0",
        "trainer.checkpoint_after_s=0", "trainer.checkpoint_every_s=0",
    ]  # fmt: skip
    callback = "+trainer.callbacks.dies._target_=dies.InFirstSession"
    command = [sys.executable, str(ROOT / "train.py"), *overrides, callback, f"hydra.run.dir={tmp_path / 'broken'}"]
    path = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    died = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    assert died.returncode == 9, died.stdout + died.stderr
    again = subprocess.run(command, env={**path, "AGAIN": "1"}, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "from step" in (tmp_path / "broken" / "run.log").read_text()
    run(tmp_path / "whole", *overrides)
    assert (tmp_path / "broken" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()


def test_a_finished_cell_is_skipped_and_left_untouched(tmp_path: Path) -> None:
    overrides = ("data=digits", "bottleneck=identity", *SMALL_MLP)
    run(tmp_path, *overrides)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "metrics.json", tmp_path / "config.yaml")}
    assert complete(make_cell(tmp_path, *overrides)).status == "skipped"
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_resume_never_starts_over(tmp_path: Path) -> None:
    overrides = ("data=digits", "bottleneck=identity", *SMALL_MLP)
    run(tmp_path, *overrides)
    assert complete(make_cell(tmp_path, "resume=never", *overrides)).status == "finished"


def test_a_changed_configuration_in_an_old_folder_is_refused_with_the_difference(tmp_path: Path) -> None:
    run(tmp_path, "data=digits", "bottleneck=identity", *SMALL_MLP)
    with pytest.raises(ChangedConfigError, match=r"optimizer\.lr: 0\.0003 -> 0\.001"):
        complete(make_cell(tmp_path, "data=digits", "bottleneck=identity", "optimizer.lr=0.001", *SMALL_MLP))


@pytest.mark.parametrize("content", [b"garbage", b"", b"PK\x03\x04 torn"])
def test_a_damaged_checkpoint_is_named_with_the_way_out(content: bytes, tmp_path: Path) -> None:
    path = RunFolder(tmp_path).checkpoint
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=rf"{re.escape(str(path))} is damaged .*resume=never"):
        complete(make_cell(tmp_path, "data=digits", "bottleneck=identity", *SMALL_MLP))


def test_a_checkpoint_cut_short_is_damaged(tmp_path: Path) -> None:
    run(tmp_path, "data=digits", "bottleneck=identity", *SMALL_MLP)
    path = RunFolder(tmp_path).checkpoint
    assert "state_dict" in read_checkpoint(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DamagedFileError, match=r"last\.ckpt is damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"step,train/loss\n2,spam\n", b"\xff\xfe\n\x00\n", b"spam\n1\n", b"step\n1,2\n"])
def test_a_damaged_curve_is_named_before_training(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"metrics\.csv is damaged .*resume=never"):
        complete(make_cell(tmp_path, "data=digits", "bottleneck=identity", *SMALL_MLP))
    assert complete(make_cell(tmp_path, "resume=never", "data=digits", "bottleneck=identity", *SMALL_MLP)).status == (
        "finished"
    )


def test_a_run_that_is_killed_while_its_tracker_finishes_hands_it_over_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("data=digits", "bottleneck=identity", *SMALL_MLP)
    finish = CurveLogger.finish

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CurveLogger, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        complete(make_cell(tmp_path, *overrides))
    finished = []
    monkeypatch.setattr(CurveLogger, "finish", lambda *args: (finished.append(True), finish(*args)))
    assert complete(make_cell(tmp_path, *overrides)).status == "finished"
    assert finished == [True]
    assert complete(make_cell(tmp_path, *overrides)).status == "skipped"
    assert finished == [True]


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    overrides = ("data=digits", "bottleneck=identity", "optimizer.lr=1e30", "trainer.checkpoint_after_s=0", *SMALL_MLP)
    with pytest.raises(NonFiniteLossError, match=r"(loss|reconstruction_loss) is (nan|inf) at step \d"):
        complete(make_cell(tmp_path, *overrides))
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize("first_ones", [True, False])
def test_a_process_saves_when_the_first_ones_clock_says_so(first_ones: bool, tmp_path: Path) -> None:
    # Saving waits for all processes: one that saved alone would wait for a step of the others, and they for its own.
    saved = []
    trainer: Any = SimpleNamespace(
        world_size=2,
        global_step=10,
        max_steps=100,
        is_global_zero=False,
        strategy=SimpleNamespace(broadcast=lambda _: first_ones),
        save_checkpoint=saved.append,
    )
    checkpoint = ResumeCheckpoint(tmp_path / "last.ckpt", after_s=1e9 if first_ones else 0, every_s=0, time_fraction=0)
    checkpoint.on_train_start(trainer, None)  # type: ignore[arg-type]
    checkpoint.on_train_batch_end(trainer)
    checkpoint.on_train_batch_start(trainer)
    assert bool(saved) == first_ones
