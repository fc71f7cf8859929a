"""Reads run folders: what finished, what failed, what is incomplete and what cannot be read."""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from softvq.config.identity import config_hash
from softvq.published import PROBE_METRICS

RUN_FILES = ("config.yaml", "metrics.json", "failure.json")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # plain values only, in C where libyaml is there
PARTS_OF_A_RUN = {"checkpoints", "figures", "evaluations", "tensorboard", "wandb"}
FOLDERS = re.compile(r"(?<![\w.:/])(/[^\s/:'\"]+)+/(?=[^\s/])")  # of an absolute path
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Run:
    """A finished run: its results, what decided them and where they come from."""

    folder: str  # relative to the folder of all runs
    path: Path
    data: str
    bottleneck: str
    seed: int
    fidelity: str
    protocol: str
    experiment: str
    steps: int
    values: Mapping[str, float]  # the probes' fractions of 1, and test_normalized_mse where something was trained
    diagnostics: Mapping[str, Any]
    choices: Mapping[str, Any]
    settings: Mapping[str, Any]  # what decides the result, without the seed
    settings_hash: str
    config_hash: str
    provenance: Mapping[str, Any]
    time: Mapping[str, Any]

    @property
    def commit(self) -> str | None:
        """The code's commit."""
        return self.provenance.get("commit")

    @property
    def data_source(self) -> Mapping[str, Any]:
        """Name, source, checksum of the data, and whether that checksum is the published one."""
        return self.provenance["data"]

    @property
    def figures(self) -> list[Path]:
        """The run's pictures."""
        return sorted((self.path / "figures").glob("*.png"))


@dataclass(frozen=True)
class Remark:
    """A folder without a result, and why."""

    folder: str
    reason: str
    cell: str = ""  # data, bottleneck and seed, where the folder says so
    step: int | None = None


@dataclass
class Collection:
    """All that lies below the folders of runs."""

    runs: list[Run] = field(default_factory=list)
    failed: list[Remark] = field(default_factory=list)
    incomplete: list[Remark] = field(default_factory=list)
    damaged: list[Remark] = field(default_factory=list)


class DamagedError(ValueError):
    """A file of a run that is not what it should be."""


def collect(roots: Sequence[Path]) -> Collection:
    """Every run folder below the roots, in the order of their names.

    Raises:
        FileNotFoundError: if a root is not a folder.
    """
    found = Collection()
    seen: set[Path] = set()
    for root, prefix in zip(roots, _prefixes(roots), strict=True):
        if not root.is_dir():
            raise FileNotFoundError(f"there is no folder of runs at {root}")
        for path in _run_folders(root):
            if path.resolve() not in seen:
                seen.add(path.resolve())
                _read(path, _clean((prefix / path.relative_to(root)).as_posix()), found)
    return found


def settings_hash(settings: Mapping[str, Any]) -> str:
    """The configuration's hash without the seed; 20 and 20.0 are the same setting."""
    return config_hash(_numbers(settings))


def _prefixes(roots: Sequence[Path]) -> list[Path]:
    """What goes before a run's name: nothing for one root, else the root's own name, numbered where it recurs."""
    if len(roots) == 1:
        return [Path()]
    names = [root.resolve().name or "root" for root in roots]
    return [
        Path(name if names[:i].count(name) == 0 else f"{name}-{names[: i + 1].count(name)}")
        for i, name in enumerate(names)
    ]


def _run_folders(root: Path) -> Iterator[Path]:
    for directory, folders, files in os.walk(root):
        is_run = any(name in files for name in RUN_FILES)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not (is_run and f in PARTS_OF_A_RUN))
        if is_run:
            yield Path(directory)


def _read(path: Path, folder: str, found: Collection) -> None:
    cell = ""
    try:
        config = _config(path / "config.yaml")
        if config is not None:
            cell = f"{config['data']['name']} / {config['choices']['bottleneck']} / seed {config['seed']}"
        if (path / "metrics.json").exists():
            metrics = _json(path / "metrics.json")
            if metrics.get("status") != "finished":
                raise DamagedError(f"metrics.json is not a run's: status is {metrics.get('status')!r}, not 'finished'")
            if config is None:
                raise DamagedError("config.yaml is missing: nothing says which settings gave these numbers")
            found.runs.append(_run(path, folder, metrics, config))
        elif (path / "failure.json").exists():
            failure = _json(path / "failure.json")
            reason = f"{_need(failure, 'error', str)}: {_need(failure, 'message', str)}"
            step = failure.get("step")
            found.failed.append(
                Remark(folder, FOLDERS.sub("…/", reason), cell, step if isinstance(step, int) else None)
            )
        else:
            found.incomplete.append(Remark(folder, "no metrics.json yet: it is running, or it was stopped", cell))
    except DamagedError as error:
        found.damaged.append(Remark(folder, str(error), cell))


def _run(path: Path, folder: str, metrics: Mapping[str, Any], config: Mapping[str, Any]) -> Run:
    settings = config["result_settings"]
    expected = _hash(settings)
    if _need(metrics, "config_hash", str) != expected:
        raise DamagedError(
            f"metrics.json: config_hash is {metrics['config_hash']}, config.yaml's settings have {expected}"
        )
    if _need(metrics, "seed", int) != settings.get("seed"):
        raise DamagedError(f"metrics.json: seed is {metrics['seed']}, config.yaml has {settings.get('seed')}")
    probes = _need(metrics, "probes", Mapping)
    values = {name: _fraction(probes, name) for name in PROBE_METRICS}
    if metrics.get("reconstruction") is not None:
        reconstruction = _need(metrics, "reconstruction", Mapping)
        values["test_normalized_mse"] = float(_need(reconstruction, "test_normalized_mse", int | float))
    provenance = _need(metrics, "provenance", Mapping)
    _need(_need(provenance, "data", Mapping), "sha256", str)
    if not isinstance(provenance.get("commit"), str | None):
        raise DamagedError("metrics.json: provenance.commit is no text")
    name, group = _need(metrics, "data", str), str(config["choices"].get("data"))
    others = {key: value for key, value in settings.items() if key != "seed"}
    return Run(
        folder=folder,
        path=path,
        data=name if name == group else f"{name} ({group})",  # one's own arrays may carry any name, also mnist
        bottleneck=_need(metrics, "bottleneck", str),
        seed=metrics["seed"],
        fidelity=_need(metrics, "fidelity", str),
        protocol=_need(_need(metrics, "protocol", Mapping), "name", str),
        experiment=str(config.get("experiment_name", "")),
        steps=_need(metrics, "steps", int),
        values=values,
        diagnostics=_need(metrics, "diagnostics", Mapping),
        choices=config["choices"],
        settings=others,
        settings_hash=settings_hash(others),
        config_hash=metrics["config_hash"],
        provenance=provenance,
        time=_need(metrics, "time", Mapping),
    )


def _hash(settings: Mapping[str, Any]) -> str:
    try:
        return config_hash(settings)
    except TypeError as error:
        raise DamagedError(f"config.yaml: the settings are no plain values: {error}") from None


def _config(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DamagedError(f"config.yaml cannot be read: {_first_line(error)}") from None
    if not isinstance(config, dict):
        raise DamagedError("config.yaml is not a run's")
    for key in ("data", "choices", "result_settings"):
        if not isinstance(config.get(key), dict):
            raise DamagedError(f"config.yaml is not a run's: it has no {key}")
    for section, key in (("data", "name"), ("choices", "bottleneck")):
        if not isinstance(config[section].get(key), str):
            raise DamagedError(f"config.yaml is not a run's: it has no {section}.{key}")
    if not isinstance(config.get("seed"), int):
        raise DamagedError("config.yaml is not a run's: it has no seed")
    return _clean(config)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(f"{path.name} cannot be read: {_first_line(error)}") from None
    if not isinstance(content, dict):
        raise DamagedError(f"{path.name} is not a run's: it holds no mapping")
    if not _finite(content):
        raise DamagedError(f"{path.name} holds a number that is not finite")
    return _clean(content)


def _need(content: Mapping[str, Any], key: str, kind: Any) -> Any:
    value = content.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DamagedError(
            f"metrics.json or failure.json: {key} is {'missing' if key not in content else repr(value)[:80]}"
        )
    return value


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_finite(item) for item in value)
    return not isinstance(value, int | float) or abs(value) <= sys.float_info.max


def _fraction(content: Mapping[str, Any], key: str) -> float:
    value = float(_need(content, key, int | float))
    if not -1e-6 <= value <= 1 + 1e-6:
        raise DamagedError(f"metrics.json: {key} is {value}, not a fraction of 1")
    return value


def _first_line(error: Exception) -> str:
    """What an error says, without the path that some put into it."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _clean(text.splitlines()[0]) if text else type(error).__name__


def _clean(value: Any) -> Any:
    """The same content with a replacement mark for what no text file can hold."""
    if isinstance(value, str):
        return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
