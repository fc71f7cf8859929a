"""Finds the run folders below some folders; symbolic links are followed."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

RUN_FILES = ("config.yaml", "metrics.json", "failure.json")
PARTS_OF_A_RUN = {"checkpoints", "figures", "evaluations", "tensorboard", "wandb"}


def run_folders(roots: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Every run folder below the roots with its name, once each and sorted by name.

    With one root a run is named by its path below it; with several, the root's own name goes before it.

    Raises:
        FileNotFoundError: if a root is not a folder.
    """
    for root in roots:
        if not root.is_dir():
            raise FileNotFoundError(f"there is no folder of runs at {root}")
    visited: set[tuple[int, int]] = set()
    above = {_identity(folder) for root in roots for folder in root.resolve().parents}
    for root, prefix in zip(roots, _prefixes(roots), strict=True):
        for folder in _walk(root, visited, above):
            yield folder, (prefix / folder.relative_to(root)).as_posix()


def _walk(root: Path, visited: set[tuple[int, int]], above: set[tuple[int, int]]) -> Iterator[Path]:
    """Folders with a file of a run in them; no folder twice, and none that holds a root (a link may lead back up)."""
    for directory, folders, files in os.walk(root, followlinks=True):
        folder = Path(directory)
        try:
            identity = _identity(folder)
        except OSError:  # it was removed meanwhile
            identity = None
        leads_up = identity in above and folder != root and folder.is_symlink()
        if identity is None or identity in visited or leads_up:
            folders.clear()
            continue
        visited.add(identity)
        is_run = any(name in files or name in folders for name in RUN_FILES)  # a folder may stand for a file: damage
        inner = {*PARTS_OF_A_RUN, *RUN_FILES} if is_run else set()
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in inner)
        if is_run:
            yield folder


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _prefixes(roots: Sequence[Path]) -> list[Path]:
    """What stands before the names of a root's runs: nothing for a single root, else the root's name, made unique."""
    if len(roots) == 1:
        return [Path()]
    names = [root.resolve().name or "root" for root in roots]
    return [
        Path(name if names[:i].count(name) == 0 else f"{name}-{names[: i + 1].count(name)}")
        for i, name in enumerate(names)
    ]
