"""Files of a run that are damaged or were lost, and what the next start makes of them."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cells import OFTEN, SMALL_MLP, killed, results, run, start

from softvq.run_folder import RunFolder
from softvq.training.checkpoint import read_checkpoint

CELL = ("data=digits", "bottleneck=identity", *SMALL_MLP)


@pytest.mark.parametrize(
    ("overrides", "at", "kept", "message"),
    [
        ((), 3, 0, "has no rows, the checkpoint is of step"),
        (("trainer.max_steps=8",), 5, 2, "ends at step 2, the checkpoint is of step"),
    ],
)
def test_rows_of_a_curve_that_are_missing_beside_a_checkpoint_are_told_of(
    overrides: tuple[str, ...],
    at: int,
    kept: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = killed(tmp_path, monkeypatch, *CELL, *overrides, at=at)
    lines = folder.curve.read_text().splitlines(keepends=True)
    folder.curve.write_text("".join(lines[:kept]))
    assert start(tmp_path, *CELL, *overrides).status == "finished"
    assert f"metrics.csv {message}" in folder.log.read_text()


def test_the_one_row_of_a_short_run_that_is_missing_is_told_of(tmp_path: Path) -> None:
    overrides = (*CELL, *OFTEN, "trainer.log_every_n_steps=100")
    run(tmp_path, *overrides)
    folder = RunFolder(tmp_path)
    folder.metrics.unlink()  # as if it had been killed while probing
    folder.curve.unlink()
    assert start(tmp_path, *overrides).status == "finished"
    assert "metrics.csv has no rows, the checkpoint is of step 4" in folder.log.read_text()


@pytest.mark.parametrize("content", [b"garbage", b"", b"PK\x03\x04 torn"])
def test_damaged_checkpoints_are_named_with_the_way_out(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = killed(tmp_path, monkeypatch, *CELL)
    for checkpoint in folder.checkpoints.glob("*.ckpt"):
        checkpoint.write_bytes(content)
    outcome = start(tmp_path, *CELL)
    assert outcome.status == "failed"
    assert re.search(rf"{re.escape(str(folder.checkpoint))} is damaged .*resume=never$", outcome.message)
    assert "Traceback" not in (tmp_path / "run.log").read_text().split("error:")[-1]


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
def test_a_flipped_bit_costs_the_steps_since_the_checkpoint_before_and_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("data=digits", "bottleneck=soft_vq", *SMALL_MLP, "trainer.max_steps=8")
    folder = killed(tmp_path / "flipped", monkeypatch, *overrides, at=6)
    weights = read_checkpoint(folder.checkpoint)["state_dict"]["encoder.heads.z_e.weight"].numpy().tobytes()
    flip(folder.checkpoint, folder.checkpoint.read_bytes().index(weights) + 100)
    assert start(folder.path, *overrides).status == "finished"
    log = folder.log.read_text()
    assert "last.ckpt: the checksum of its record" in log
    assert "going on from the checkpoint before it" in log
    assert "from step 4" in log
    assert results(json.loads(folder.metrics.read_text())) == results(run(tmp_path / "whole", *overrides))


def test_a_bomb_in_a_checkpoint_does_not_go_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    burst = tmp_path / "burst"

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
            return os.mkdir, (str(burst),)

    folder = killed(tmp_path / "run", monkeypatch, *CELL)
    held = read_checkpoint(folder.checkpoint)
    for checkpoint in folder.checkpoints.glob("*.ckpt"):
        torch.save({**held, "epoch": Bomb()}, checkpoint)
    assert start(folder.path, *CELL).status == "failed"
    assert not burst.exists()


@pytest.mark.parametrize("content", [b"step,train/loss\n2,spam\n", b"\xff\xfe\n\x00\n", b"spam\n1\n", b"step\n1,2\n"])
def test_a_damaged_curve_beside_a_checkpoint_is_named_before_training(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = killed(tmp_path, monkeypatch, *CELL)
    folder.curve.write_bytes(content)
    outcome = start(tmp_path, *CELL)
    assert outcome.status == "failed"
    assert re.search(r"metrics\.csv is damaged .*resume=never", outcome.message)
    assert folder.curve.read_bytes() == content
    assert start(tmp_path, "resume=never", *CELL).status == "finished"
