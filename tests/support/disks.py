"""Disks that are full or cannot be written, for tests that may mount them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _mount(*arguments: str | Path) -> None:
    """Mounts something, or skips the test where that is not allowed."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not possible here: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """An empty disk of so many kilobytes at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def ext4_disk(image: Path, folder: Path, megabytes: int = 0) -> Iterator[Path]:
    """A disk of ext4 at `folder`, all of it in the file `image`; a new one of so many megabytes, or the one there."""
    if not shutil.which("mkfs.ext4"):
        pytest.skip("not installed: mkfs.ext4 (Debian: e2fsprogs)")
    folder.mkdir(parents=True, exist_ok=True)
    if megabytes:
        with image.open("wb") as file:
            file.truncate(megabytes * 2**20)
        subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", image], check=True)
    _mount("-o", "loop", image, folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def resize(folder: Path, kilobytes: int) -> None:
    """Gives a small disk another size."""
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Within, nobody can write below `folder`."""
    _mount("--bind", folder, folder)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
