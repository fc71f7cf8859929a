"""Reads the files of a run folder, each for itself; whether they belong together is seen in `agreement.py`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softvq.bounded_files import UnreadableFileError, read_json, read_yaml
from softvq.run.fields import mapping_in, need
from softvq.run_folder import DamagedFileError, RunFolder

DEPTHS = tuple("/".join("*" * depth) for depth in range(1, 5))  # as deep as cells lie below a folder of runs


def read_metrics(folder: RunFolder) -> dict[str, Any] | None:
    """The content of a run's `metrics.json`; None where it is absent.

    Raises:
        DamagedFileError: if it is not what a run writes.
    """
    metrics = mapping_in(folder.metrics, read_json)
    if metrics is not None:
        need(metrics, "config_hash", str, folder.metrics)
    return metrics


def finished_metrics(path: str | Path) -> dict[str, Any]:
    """The results of a finished run.

    Raises:
        ValueError: if the folder holds none, naming one that lies further down.
    """
    folder = RunFolder(path)
    if folder.path.exists() and not folder.path.is_dir():
        raise ValueError(f"run={path} is no folder; name the folder of a finished run")
    metrics = read_metrics(folder)
    if metrics is None:
        below = next((found.parent for depth in DEPTHS for found in _results(folder.path, depth)), None)
        way_out = f"name one of those below it, as {below}" if below else "train it first"
        raise ValueError(f"run={path} holds no finished run: {folder.metrics} is missing; {way_out}")
    return metrics


def _results(folder: Path, depth: str) -> list[Path]:
    """The files of results so far below a folder; none where it cannot be looked into."""
    try:
        return sorted(folder.glob(f"{depth}/metrics.json"))
    except OSError:
        return []


def read_failure(folder: RunFolder) -> dict[str, Any] | None:
    """The content of a run's `failure.json`; None where it is absent or not what a run writes."""
    try:
        failure = read_json(folder.failure)
    except (FileNotFoundError, UnreadableFileError):
        return None
    return failure if isinstance(failure, dict) and {"error", "message"} <= failure.keys() else None


def read_config(folder: RunFolder) -> dict[str, Any]:
    """The content of a run's `config.yaml`.

    Raises:
        DamagedFileError: if it is absent or not what a run writes.
    """
    config = mapping_in(folder.config, read_yaml)
    if config is None:
        raise DamagedFileError(folder.config, "it is missing, so that nobody knows whose run this is")
    need(config, "result_settings", Mapping, folder.config)
    return config


def check_sections(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Refuses a `config.yaml` that lacks a part which every run writes.

    Raises:
        DamagedFileError: naming the part.
    """
    for key in ("data", "choices"):
        need(config, key, Mapping, folder.config)
    for key in ("data", "probes", "trainer"):
        need(config["result_settings"], key, Mapping, folder.config, "result_settings.")
    need(config, "seed", int, folder.config)
