"""Reads a run folder: its configuration, its result or its failure, and whether these agree with one another."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softvq.bounded_files import printable, printable_values, read_json, read_yaml
from softvq.config.identity import config_hash
from softvq.published import DATA_NAMES
from softvq.report.read.evaluations import read_evaluations
from softvq.report.read.fields import DamagedRunError, agree, is_kind, mapping_in, measured_values, need, whole_numbers
from softvq.report.read.run import FAILED, FINISHED, STOPPED_EARLY, UNFINISHED, Run
from softvq.seals import BROKEN, is_whole

FOLDERS = re.compile(r"(?<![\w.:/])(/[^\s/:'\"]+)+/(?=[^\s/])")  # the folders of an absolute path


def read_run(path: Path, folder: str) -> Run | None:
    """The run in a folder; None where there is no `config.yaml`.

    Args:
        path: of the folder.
        folder: what the run is called.

    Raises:
        DamagedRunError: if its files cannot be read, or disagree.
    """
    config = _config(path / "config.yaml")
    results = mapping_in(path / "metrics.json", read_json)
    metrics = printable_values(results)
    failure = printable_values(mapping_in(path / "failure.json", read_json))
    if config is None:
        if metrics is not None:
            raise DamagedRunError("config.yaml is missing: nothing says which settings gave these numbers")
        return None
    hashes = _hashes(config["result_settings"])  # hashed as it was written: `printable` changes characters
    config = printable_values(config)
    identity = _identity(config, hashes, path, folder)
    if results is not None:
        run = Run(**identity, **_result(metrics, config, path, identity["config_hash"]))
        if not is_whole(results):
            raise DamagedRunError(f"metrics.json: {BROKEN}")
        return run
    if failure is not None:
        return Run(**identity, status=FAILED, **_why_failed(failure))
    return Run(**identity, status=UNFINISHED, steps=None, reason="it is running, or it was stopped")


def read_failure(path: Path) -> str:
    """Why a run failed before it had a configuration; empty where it did not.

    Raises:
        DamagedRunError: if its failure.json cannot be read.
    """
    failure = printable_values(mapping_in(path / "failure.json", read_json))
    return _why_failed(failure)["reason"] if failure is not None else ""


def settings_hash(settings: Mapping[str, Any]) -> str:
    """The configuration's hash without the seed; 20 and 20.0 are the same setting."""
    return config_hash(whole_numbers(settings))


def data_label(name: str, option: str) -> str:
    """The name of the data; with the source in brackets where one's own data have the name of a known set."""
    return f"{name} ({option})" if name in DATA_NAMES and option != name else name


def _config(path: Path) -> dict[str, Any] | None:
    config = mapping_in(path, read_yaml)
    if config is not None:
        for key in ("data", "choices", "result_settings"):
            _section(config, key)
        for key in ("data", "probes", "trainer"):
            _section(config["result_settings"], key, "result_settings.")
        if not is_kind(config.get("seed"), int):
            raise DamagedRunError("config.yaml is not a run's: it has no seed")
    return config


def _section(content: Mapping[str, Any], key: str, inside: str = "") -> Mapping[str, Any]:
    section = content.get(key)
    if not isinstance(section, dict):
        raise DamagedRunError(f"config.yaml is not a run's: it has no {inside}{key}")
    return section


def _hashes(settings: Mapping[str, Any]) -> dict[str, str]:
    """The hashes of the settings that decide a result: with the seed, and without it."""
    others = {key: value for key, value in settings.items() if key != "seed"}
    try:
        return {"settings_hash": settings_hash(others), "config_hash": config_hash(settings)}
    except TypeError as error:
        raise DamagedRunError(f"config.yaml: the settings are no plain values: {printable(str(error))}") from None


def _identity(config: Mapping[str, Any], hashes: Mapping[str, str], path: Path, folder: str) -> dict[str, Any]:
    """What config.yaml says of a run."""
    settings = config["result_settings"]
    others = {key: value for key, value in settings.items() if key != "seed"}
    name = need(config["data"], "name", str, "config.yaml: data")
    return {
        "folder": folder,
        "path": path,
        "data": data_label(name, str(config["choices"].get("data"))),
        "bottleneck": need(config["choices"], "bottleneck", str, "config.yaml: choices"),
        "seed": config["seed"],
        "fidelity": need(config, "fidelity", str, "config.yaml"),
        "experiment": str(config.get("experiment_name", "")),
        "protocol": need(settings["probes"], "name", str, "config.yaml: result_settings.probes"),
        "tap": need(settings["probes"], "tap", str, "config.yaml: result_settings.probes"),
        "choices": config["choices"],
        "settings": others,
        **hashes,
        "data_sha256": need(settings["data"], "sha256", str, "config.yaml: result_settings.data"),
        "config": config,
    }


def _result(metrics: Mapping[str, Any], config: Mapping[str, Any], path: Path, expected_hash: str) -> dict[str, Any]:
    """What metrics.json says, once it is known to be this configuration's."""
    status = metrics.get("status")
    if status not in (FINISHED, STOPPED_EARLY):
        raise DamagedRunError(f"metrics.json is not a run's: status is {status!r}, neither finished nor stopped_early")
    _check_agreement(metrics, config, expected_hash)
    provenance = metrics["provenance"]
    commit, device = provenance.get("commit"), provenance.get("device")
    if not isinstance(commit, str | None):
        raise DamagedRunError("metrics.json: provenance.commit is no text")
    evaluations, problems = read_evaluations(path, expected_hash)
    return {
        "status": status,
        "steps": metrics["steps"],
        "values": measured_values(metrics, "metrics.json"),
        "diagnostics": need(metrics, "diagnostics", Mapping, "metrics.json"),
        "verified": provenance["data"].get("verified"),
        "commit": commit,
        "device": str(device) if device is not None else None,
        "reason": _why_stopped(metrics) if status == STOPPED_EARLY else "",
        "collapsed": _collapsed(metrics),
        "metrics": metrics,
        "evaluations": tuple(evaluations),
        "problems": tuple(problems),
    }


def _check_agreement(metrics: Mapping[str, Any], config: Mapping[str, Any], expected_hash: str) -> None:
    """Refuses results and a configuration that do not belong together, as when one of the files was changed."""
    settings, file = config["result_settings"], "metrics.json"
    if need(metrics, "config_hash", str, file) != expected_hash:
        raise DamagedRunError(
            f"{file}: config_hash is {metrics['config_hash']}, config.yaml's settings have {expected_hash}"
        )
    agree("seed", need(metrics, "seed", int, file), settings.get("seed"), file)
    agree("seed", config["seed"], settings.get("seed"), "config.yaml")
    agree("fidelity", need(metrics, "fidelity", str, file), settings.get("fidelity"), file)
    agree("fidelity", config["fidelity"], settings.get("fidelity"), "config.yaml")
    agree("bottleneck", need(metrics, "bottleneck", str, file), config["choices"]["bottleneck"], file)
    agree("data", need(metrics, "data", str, file), config["data"]["name"], file)
    source = need(need(metrics, "provenance", Mapping, file), "data", Mapping, file)
    agree("provenance.data.sha256", need(source, "sha256", str, file), settings["data"]["sha256"], file)
    _check_steps(need(metrics, "steps", int, file), metrics["status"], config)
    protocol, probes = need(metrics, "protocol", Mapping, file), _section(config, "probes")
    for key, value in settings["probes"].items():
        agree(f"protocol.{key}", protocol.get(key), value, file)
        agree(f"probes.{key}", probes.get(key), value, "config.yaml")


def _check_steps(steps: int, status: str, config: Mapping[str, Any]) -> None:
    planned = config["result_settings"]["trainer"].get("max_steps")
    if status == FINISHED:
        agree("steps", steps, planned, "metrics.json")
    elif not is_kind(planned, int) or not 0 <= steps <= planned:
        raise DamagedRunError(f"metrics.json: stopped early after {steps} steps, config.yaml has {planned}")
    if config.get("trained", True):
        agree("trainer.max_steps", _section(config, "trainer").get("max_steps"), planned, "config.yaml")


def _why_failed(failure: Mapping[str, Any]) -> dict[str, Any]:
    """The step and the reason of a failure.json, without the folders of the machine that it happened on."""
    said = [need(failure, key, str, "failure.json") for key in ("error", "message")]
    step = failure.get("step")
    return {"steps": step if is_kind(step, int) else None, "reason": FOLDERS.sub("…/", ": ".join(said))}


def _why_stopped(metrics: Mapping[str, Any]) -> str:
    return str(metrics.get("stopped_by") or metrics.get("reason") or "a callback ended training")


def _collapsed(metrics: Mapping[str, Any]) -> str:
    found = metrics.get("collapsed")
    return "; ".join(f"{name}: {said}" for name, said in found.items()) if isinstance(found, Mapping) else ""
