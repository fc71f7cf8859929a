"""Reads the files of a run folder, and checks that they are what a run writes and say the same as one another."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from softvq.bounded_files import UnreadableFileError, printable, read_json, read_yaml
from softvq.config.compose import settings_of
from softvq.config.identity import config_hash, differences
from softvq.config.schema import kind_of
from softvq.run_folder import DamagedFileError, RunFolder
from softvq.seals import BROKEN, is_whole

MODELS_OWN = ("bottleneck", "network", "reconstruction", "data", "penalty_weight", "seed", "fidelity")
DEPTHS = tuple("/".join("*" * depth) for depth in range(1, 5))  # as deep as cells lie below a folder of runs


def read_metrics(folder: RunFolder) -> dict[str, Any] | None:
    """The content of a run's `metrics.json`; None where it is absent.

    Raises:
        DamagedFileError: if it is not what a run writes.
    """
    try:
        return _read(read_json, folder.metrics, "config_hash", str)
    except FileNotFoundError:
        return None


def check_whole(folder: RunFolder, metrics: Mapping[str, Any]) -> None:
    """Refuses a `metrics.json` whose numbers were changed after they were written.

    Raises:
        DamagedFileError: if its checksum does not match.
    """
    if not is_whole(metrics):
        raise DamagedFileError(folder.metrics, BROKEN)


def finished_metrics(path: str | Path) -> dict[str, Any]:
    """The results of a finished run.

    Raises:
        ValueError: if the folder holds none, naming one that lies further down.
    """
    folder = RunFolder(path)
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
    try:
        return _read(read_yaml, folder.config, "result_settings", dict)
    except FileNotFoundError as error:
        raise DamagedFileError(folder.config, "it is missing, so that nobody knows whose run this is") from error


def _read(read: Callable[[Path], Any], path: Path, needed: str, kind: type) -> dict[str, Any]:
    """The content of a file that every run writes with an entry of this name and kind."""
    try:
        content = read(path)
    except UnreadableFileError as error:
        raise DamagedFileError(path, error.reason) from error
    if not isinstance(content, dict) or not isinstance(content.get(needed), kind):
        raise DamagedFileError(path, f"it has no {needed}")
    return content


def check_results(folder: RunFolder, metrics: Mapping[str, Any]) -> None:
    """Refuses a `metrics.json` that lacks what is read of it beside its hash.

    Raises:
        DamagedFileError: naming what is wrong.
    """
    data = (metrics.get("provenance") or {}).get("data") if isinstance(metrics.get("provenance"), dict) else None
    if not isinstance(data, dict) or not all(isinstance(data.get(key), str) for key in ("name", "sha256")):
        raise DamagedFileError(folder.metrics, "its provenance does not say which data the run was trained on")
    if not isinstance(data.get("class_names") or [], list):
        raise DamagedFileError(folder.metrics, "its class names are no list")
    errors = metrics.get("reconstruction", 0)
    if errors is not None:
        found = [errors.get(key) if isinstance(errors, dict) else None for key in ("test_mse", "test_normalized_mse")]
        if not all(isinstance(value, float) and value > 0 for value in found):
            raise DamagedFileError(folder.metrics, "its reconstruction has no errors of the test images")
    for key in ("bottleneck", "seed", "fidelity", "steps"):
        if not isinstance(metrics.get(key), str | int):
            raise DamagedFileError(folder.metrics, f"it has no {key}")


def check_config(folder: RunFolder, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Refuses a `config.yaml` whose parts are of the wrong kind, or do not say what the hash in the results stands for.

    Raises:
        DamagedFileError: naming what is wrong.
    """
    recorded = config_hash(config["result_settings"])
    if recorded != metrics["config_hash"]:
        its = printable(metrics["config_hash"])
        raise DamagedFileError(folder.metrics, f"its config_hash is {its}, that of config.yaml is {recorded}")
    for part, said in config["result_settings"].items():
        own = config.get(part)
        if isinstance(own, Mapping) and isinstance(said, Mapping):
            said = {key: value for key, value in said.items() if (part, key) != ("data", "sha256")}
            own = {key: own.get(key) for key in said}
        if changed := differences(said, own, part):
            raise DamagedFileError(
                folder.config, f"its settings are not those of the results: {printable(changed[0])[:200]}"
            )
    shape = config.get("image_shape")
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
        raise DamagedFileError(folder.config, "its image_shape is not height, width and channels")
    for key, value in settings_of(OmegaConf.create({part: config.get(part) for part in MODELS_OWN})).items():
        kind = kind_of(key)
        if kind is not None:
            try:
                kind.refuse(key, value)
            except ValueError as error:
                raise DamagedFileError(folder.config, str(error)) from error
