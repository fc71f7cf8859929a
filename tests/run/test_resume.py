"""Cells that are killed, finished, stopped early or changed, and what the next start makes of them."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import lightning as L
import pytest
import torch
from cells import OFTEN, QUICK, ROOT, SMALL_MLP, killed, results, run, start

from softvq.run_folder import RunFolder
from softvq.tracking.curve import CurveLogger
from softvq.training.checkpoint import read_checkpoint

CELL = ("data=digits", "bottleneck=identity", *SMALL_MLP)


@pytest.mark.process
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


@pytest.mark.slow
@pytest.mark.parametrize("bottleneck", ["soft_vq", "vae", "vq"])
def test_a_run_goes_on_in_the_middle_of_a_row_of_its_curve(
    bottleneck: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (
        "data=digits", f"bottleneck={bottleneck}", *SMALL_MLP, "trainer.max_steps=12", "trainer.log_every_n_steps=5",
        "data.val_fraction=0.1", "trainer.val_every_n_steps=4",
    )  # fmt: skip
    folder = killed(tmp_path / "killed", monkeypatch, *overrides, at=8)
    assert read_checkpoint(folder.checkpoint)["global_step"] == 7  # a row ends at 10
    assert start(folder.path, *overrides).status == "finished"
    whole = run(tmp_path / "whole", *overrides)
    assert results(json.loads(folder.metrics.read_text())) == results(whole)
    assert folder.curve.read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()
    header = folder.curve.read_text().splitlines()[0]
    assert {"train/loss", "train/active_units", "val/loss", "val/effective_rank"} <= set(header.split(","))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_a_run_of_any_precision_goes_on_to_the_last_bit(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*CELL, f"trainer.precision={precision}")
    folder = killed(tmp_path / "killed", monkeypatch, *overrides)
    assert start(folder.path, *overrides).status == "finished"
    assert "from step" in folder.log.read_text()
    whole = run(tmp_path / "whole", *overrides)
    assert results(json.loads(folder.metrics.read_text())) == results(whole)
    assert folder.curve.read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()


def test_a_run_that_dies_in_a_validation_loses_no_row_of_its_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*CELL, *OFTEN, "trainer.max_steps=12", "data.val_fraction=0.1", "trainer.val_every_n_steps=6")

    def die(self: L.Callback, trainer: L.Trainer, *_: object) -> None:
        if trainer.global_step == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("softvq.run.train.ProbesAtEnd.on_validation_start", die, raising=False)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            start(tmp_path / "broken", *overrides)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert start(tmp_path / "broken", *overrides).status == "finished"
    assert "from step" in (tmp_path / "broken" / "run.log").read_text()
    run(tmp_path / "whole", *overrides)
    assert (tmp_path / "broken" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()


def test_a_finished_cell_is_skipped_and_left_untouched(tmp_path: Path) -> None:
    run(tmp_path, *CELL)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    assert start(tmp_path, *CELL).status == "skipped"
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_resume_never_starts_over(tmp_path: Path) -> None:
    run(tmp_path, *CELL)
    (tmp_path / "latents.npz").write_text("of the old run")
    assert start(tmp_path, "resume=never", *CELL).status == "finished"
    assert not (tmp_path / "latents.npz").exists()


def test_a_changed_configuration_in_an_old_folder_is_refused_with_the_difference(tmp_path: Path) -> None:
    run(tmp_path, *CELL)
    kept = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    outcome = start(tmp_path, *CELL, "optimizer.lr=0.001")
    assert outcome.status == "failed"
    assert "optimizer.lr: 0.0003 -> 0.001" in outcome.message
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == kept


def test_a_run_without_its_configuration_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("finished", "killed"):
        folder = RunFolder(tmp_path / name)
        if name == "finished":
            run(folder.path, *CELL)
        else:
            killed(folder.path, monkeypatch, *CELL)
        folder.config.unlink()
        outcome = start(folder.path, *CELL, "optimizer.lr=0.01")
        assert outcome.status == "failed"
        assert "config.yaml" in outcome.message or "no run's" in outcome.message
        assert folder.checkpoint.exists()


def test_a_checkpoint_of_another_seed_or_configuration_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, setting in (("seed", "seed=1"), ("rate", "optimizer.lr=0.01")):
        folder = killed(tmp_path / name, monkeypatch, *CELL)
        run(tmp_path / f"other-{name}", *CELL, setting)
        folder.checkpoint.write_bytes((tmp_path / f"other-{name}" / "checkpoints" / "last.ckpt").read_bytes())
        outcome = start(folder.path, *CELL)
        assert outcome.status == "failed"
        assert "last.ckpt is of another run: its config_hash is " in outcome.message
        assert not folder.metrics.exists()


def test_a_curve_never_mixes_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = killed(tmp_path, monkeypatch, "data=digits", "bottleneck=vae", *SMALL_MLP)
    for checkpoint in folder.checkpoints.glob("*.ckpt"):
        checkpoint.unlink()
    (folder.path / "figures").mkdir()
    (folder.path / "figures" / "codebook_use.png").write_text("of another bottleneck")
    assert "train/kl_loss" in folder.curve.read_text()
    assert start(folder.path, *CELL).status == "finished"
    with folder.curve.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert "train/kl_loss" not in rows[0]
    assert not (folder.figures / "codebook_use.png").exists()


def test_a_run_that_is_killed_while_its_tracker_finishes_hands_it_over_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = CurveLogger.finish

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CurveLogger, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, *CELL)
    finished = []
    monkeypatch.setattr(CurveLogger, "finish", lambda *args: (finished.append(True), finish(*args)))
    assert start(tmp_path, *CELL).status == "finished"
    assert finished == [True]
    assert start(tmp_path, *CELL).status == "skipped"
    assert finished == [True]


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    outcome = start(tmp_path, *CELL, *OFTEN, "optimizer.lr=1e30", "trainer.max_steps=40")
    assert outcome.status == "failed"
    assert re.search(r"NonFiniteLossError: (loss|reconstruction_loss) is (nan|inf) at step \d", outcome.message)
    assert not (tmp_path / "metrics.json").exists()
    told = json.loads((tmp_path / "failure.json").read_text())
    assert told["step"] > 0
    weights = read_checkpoint(RunFolder(tmp_path).checkpoint)["state_dict"]
    assert all(torch.isfinite(value).all() for value in weights.values())


TIMER = (
    "+trainer.callbacks.timer._target_=lightning.pytorch.callbacks.Timer",
    "+trainer.callbacks.timer.duration={milliseconds: 1}",
)
EARLY = (
    "+trainer.callbacks.early._target_=lightning.pytorch.callbacks.EarlyStopping",
    "+trainer.callbacks.early.monitor=val/loss",
    "+trainer.callbacks.early.stopping_threshold=1e9",
    "data.val_fraction=0.1",
    "trainer.val_every_n_steps=2",
)


@pytest.mark.parametrize(
    ("callbacks", "who"), [(TIMER, "Timer"), (EARLY, "EarlyStopping"), ((*TIMER[:1], *EARLY), "EarlyStopping")]
)
def test_a_training_that_a_callback_ends_is_recorded_as_such_and_skipped(
    callbacks: tuple[str, ...], who: str, tmp_path: Path
) -> None:
    overrides = (*CELL, "trainer.max_steps=500", *callbacks)
    assert start(tmp_path, *overrides).status == "finished"
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["status"] == "stopped_early"
    assert metrics["stopped_by"] == who
    assert 0 < metrics["steps"] < 500
    assert f"{who} stopped the training early" in (tmp_path / "run.log").read_text()
    assert start(tmp_path, *overrides).status == "skipped"
