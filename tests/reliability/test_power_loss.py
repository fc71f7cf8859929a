"""What a power loss may leave of a run at any moment is enough for it to end as one that nobody disturbed.

A disk keeps a file's content from its last sync on, and a folder's names from that of the folder; what was not synced
may be there or not. So after each sync and each rename there are two worst cases: the names as they were synced, and
the names as they are, both with no more content than was synced.
"""

import json
import os
import random
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cells import QUICK, ROOT, SMALL_MLP, make_cell, results, run
from disks import ext4_disk

from softvq.run.complete import complete

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells the name of an open file"),
]
SETTINGS = (
    "data=digits",
    "bottleneck=soft_vq",
    "trainer.log_every_n_steps=2",
    "trainer.checkpoint_after_s=0",
    "trainer.checkpoint_every_s=0",
    "trainer.checkpoint_time_fraction=0",
    *SMALL_MLP,
)
CHANCE = random.Random(0)
Image = tuple[tuple[str, bytes], ...]


class Disk:
    """What of a folder is certainly on its disk, while `os.fsync` and renames are watched.

    Attributes:
        images: every different worst case so far, as names and contents.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.images: dict[Image, None] = {}
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        fsync = os.fsync

        def watched(descriptor: int) -> None:
            fsync(descriptor)
            self._synced(descriptor)

        patch.setattr(os, "fsync", watched)
        for name in ("replace", "rename", "unlink"):
            patch.setattr(os, name, self._then_seen(getattr(os, name)))

    def _then_seen(self, change: Any) -> Any:
        def changed(*arguments: Any, **settings: Any) -> None:
            change(*arguments, **settings)
            self._see()

        return changed

    def _synced(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if not path.is_relative_to(self.folder):
            return
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            self._contents[found.st_ino] = path.read_bytes()
        else:
            here = str(path.relative_to(self.folder))
            self._names = {name: n for name, n in self._names.items() if str(Path(name).parent) != here}
            self._names |= {name: n for name, n in self._names_now().items() if str(Path(name).parent) == here}
        self._see()

    def _names_now(self) -> dict[str, int]:
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        return {str(file.relative_to(self.folder)): file.stat().st_ino for file in files}

    def _see(self) -> None:
        for names in (self._names, self._names_now()):
            kept = {name: self._contents.get(n, b"") for name, n in names.items() if Path(name).name != "run.log"}
            self.images[tuple(sorted(kept.items()))] = None


def test_a_run_goes_on_from_whatever_a_power_loss_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softvq.probes.drawing.Album.add", lambda *_: None)
    monkeypatch.setattr("softvq.data.chunks.MAX_CHUNK_STEPS", 1)
    settings = (*SETTINGS, f"data.root={tmp_path}")
    with monkeypatch.context() as patch:
        disk = Disk(tmp_path / "whole", patch)
        expected = results(run(tmp_path / "whole", *settings))
    curve = (tmp_path / "whole" / "metrics.csv").read_bytes()
    assert len(disk.images) > 20
    for number, image in enumerate(disk.images):
        folder = tmp_path / str(number)
        for name, content in image:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        (outcome,) = complete([make_cell(folder, *settings)])
        assert outcome.status in ("finished", "skipped"), (outcome.message, [(name, len(c)) for name, c in image])
        assert results(json.loads((folder / "metrics.json").read_text())) == expected
        assert (folder / "metrics.csv").read_bytes() == curve
    print(f"{len(disk.images)} worst cases")


@pytest.mark.process
def test_a_real_disk_that_loses_power_holds_a_run_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ext4 on a file: a copy of the file is what the disk would hold if the power failed at that moment."""
    monkeypatch.setattr("softvq.probes.drawing.Album.add", lambda *_: None)
    settings = (*SETTINGS, "trainer.max_steps=150", f"data.root={tmp_path}")
    expected = results(run(tmp_path / "whole", *settings))
    image = tmp_path / "image"
    with ext4_disk(image, tmp_path / "disk", megabytes=24) as disk, (tmp_path / "log").open("wb") as log:
        # Not a fork: this process has trained already, and what is left of that does not outlive a fork.
        command = [sys.executable, ROOT / "train.py", *QUICK, *settings, f"hydra.run.dir={disk / 'run'}"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        copies = [copied(image, tmp_path / "copy-0")]
        while process.poll() is None:
            time.sleep(CHANCE.uniform(0.1, 0.8))
            copies.append(copied(image, tmp_path / f"copy-{len(copies)}"))
        assert process.returncode == 0, (tmp_path / "log").read_text()
        for _ in range(4):
            copies.append(copied(image, tmp_path / f"copy-{len(copies)}"))
            time.sleep(0.2)
    began, finished = 0, 0
    for number, copy in enumerate(copies):
        with ext4_disk(copy, tmp_path / f"disk-{number}") as disk:
            began += (disk / "run" / "checkpoints" / "last.ckpt").exists()
            finished += (disk / "run" / "metrics.json").exists()
            (outcome,) = complete([make_cell(disk / "run", *settings)])
            assert outcome.status in ("finished", "skipped"), outcome.message
            assert results(json.loads((disk / "run" / "metrics.json").read_text())) == expected
    assert finished >= 4
    assert began > finished
    print(f"{len(copies)} times without power, {began} after the first checkpoint, {finished} after the end")


def copied(image: Path, copy: Path) -> Path:
    shutil.copyfile(image, copy)
    return copy
