"""Checkpoints: what one holds and says of itself, and the two that are kept."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import WHO, content, files, same

from softvq.run_folder import DamagedFileError
from softvq.training.checkpoint import Generations, read_checkpoint
from softvq.training.checkpoint_content import FORMAT


def test_what_is_saved_is_what_is_loaded(tmp_path: Path, saved: Path) -> None:
    loaded = files(tmp_path).load_checkpoint("")
    loaded.pop("run")
    loaded.pop("curve")
    assert same(loaded, content(5))


def test_a_checkpoint_says_what_it_is(saved: Path) -> None:
    about = read_checkpoint(saved)["run"]
    assert about == {"format": FORMAT, "step": 5, "config_hash": WHO.config_hash, "seed": 7}


def test_the_checkpoint_before_the_last_is_kept(tmp_path: Path) -> None:
    for step in (5, 9, 12):
        files(tmp_path).save_checkpoint(content(step), "")
    told: list[str] = []
    found = Generations(tmp_path / "last.ckpt").readable(WHO, told.append)
    assert [(step, path.name) for step, path in found.items()] == [(12, "last.ckpt"), (9, "previous.ckpt")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert not told


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def test_a_damaged_last_one_is_told_of_and_the_one_before_serves(tmp_path: Path) -> None:
    for step in (5, 9):
        files(tmp_path).save_checkpoint(content(step), "")
    flip(tmp_path / "last.ckpt")
    told: list[str] = []
    found = Generations(tmp_path / "last.ckpt").readable(WHO, told.append)
    assert list(found) == [5]
    (line,) = told
    assert line.startswith(f"{tmp_path / 'last.ckpt'}: ")
    assert line.endswith("; going on from the checkpoint before it")


def test_if_both_are_damaged_the_last_one_is_named(tmp_path: Path) -> None:
    for step in (5, 9):
        files(tmp_path).save_checkpoint(content(step), "")
    for name in ("last.ckpt", "previous.ckpt"):
        flip(tmp_path / name)
    with pytest.raises(DamagedFileError, match=r"last\.ckpt is damaged"):
        Generations(tmp_path / "last.ckpt").readable(WHO, print)


@pytest.mark.parametrize("at", ["torch.save", "os.fsync", "os.replace", "second os.replace"])
def test_a_save_that_is_interrupted_leaves_one_to_go_on_from(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (5, 9):
        files(tmp_path).save_checkpoint(content(step), "")
    module, name = {"torch.save": (torch, "save"), "os.fsync": (os, "fsync")}.get(at, (Path, "replace"))
    calls = []
    original = getattr(module, name)

    def interrupted(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == (2 if at.startswith("second") else 1):
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            files(tmp_path).save_checkpoint(content(12), "")
    found = Generations(tmp_path / "last.ckpt").readable(WHO, print)
    assert max(found) == 9
    files(tmp_path).save_checkpoint(content(12), "")
    assert max(Generations(tmp_path / "last.ckpt").readable(WHO, print)) == 12
