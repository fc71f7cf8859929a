"""Reads a run folder: its configuration, its result or its failure, and whether these agree with one another."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softvq.bounded_files import printable_values, read_json
from softvq.config.identity import config_hash
from softvq.published import DATA_NAMES
from softvq.report.read.curves import curve_as_written
from softvq.report.read.evaluations import read_evaluations
from softvq.report.read.fields import measured_values
from softvq.report.read.run import FAILED, UNFINISHED, Run
from softvq.run.agreement import STOPPED_EARLY, check_agreement
from softvq.run.fields import is_kind, mapping_in, need, whole_numbers
from softvq.run.recorded import check_sections, read_config, read_metrics
from softvq.run_folder import RunFolder

FOLDERS = re.compile(r"(?<![\w.:/])(/[^\s/:'\"]+)+/(?=[^\s/])")  # the folders of an absolute path


def read_run(path: Path, folder: str) -> Run | None:
    """The run in a folder; None where there is no `config.yaml`.

    Args:
        path: of the folder.
        folder: what the run is called.

    Raises:
        DamagedFileError: if one of its files cannot be read, or disagrees with another.
    """
    files = RunFolder(path)
    metrics = read_metrics(files)
    failure = mapping_in(files.failure, read_json)
    if metrics is None and not files.config.exists():
        return None
    config = read_config(files)
    check_sections(files, config)
    if metrics is not None:
        check_agreement(files, config, metrics)
        return Run(**_identity(config, files, folder), **_result(printable_values(metrics), files))
    identity = _identity(config, files, folder)
    if failure is not None:
        return Run(**identity, status=FAILED, **_why_failed(printable_values(failure), files))
    return Run(**identity, status=UNFINISHED, steps=None, reason="it is running, or it was stopped")


def read_failure(path: Path) -> str:
    """Why a run failed before it had a configuration; empty where it did not.

    Raises:
        DamagedFileError: if its failure.json cannot be read.
    """
    files = RunFolder(path)
    failure = mapping_in(files.failure, read_json)
    return _why_failed(printable_values(failure), files)["reason"] if failure is not None else ""


def settings_hash(settings: Mapping[str, Any]) -> str:
    """The configuration's hash without the seed; 20 and 20.0 are the same setting."""
    return config_hash(whole_numbers(settings))


def data_label(name: str, option: str) -> str:
    """The name of the data; with the source in brackets where one's own data have the name of a known set."""
    return f"{name} ({option})" if name in DATA_NAMES and option != name else name


def _identity(written: Mapping[str, Any], files: RunFolder, folder: str) -> dict[str, Any]:
    """What config.yaml says of a run."""
    # Hashed as it was written: `printable_values` changes characters.
    hashed = written["result_settings"]
    others = {key: value for key, value in hashed.items() if key != "seed"}
    hashes = {"settings_hash": settings_hash(others), "config_hash": config_hash(hashed)}
    config, path = printable_values(written), files.config
    settings = config["result_settings"]
    name = need(config["data"], "name", str, path, "data.")
    return {
        "folder": folder,
        "path": files.path,
        "data": data_label(name, str(config["choices"].get("data"))),
        "bottleneck": need(config["choices"], "bottleneck", str, path, "choices."),
        "seed": config["seed"],
        "fidelity": need(config, "fidelity", str, path),
        "experiment": str(config.get("experiment_name", "")),
        "protocol": need(settings["probes"], "name", str, path, "result_settings.probes."),
        "tap": need(settings["probes"], "tap", str, path, "result_settings.probes."),
        "choices": config["choices"],
        "settings": {key: value for key, value in settings.items() if key != "seed"},
        **hashes,
        "data_sha256": need(settings["data"], "sha256", str, path, "result_settings.data."),
        "config": config,
    }


def _result(metrics: Mapping[str, Any], files: RunFolder) -> dict[str, Any]:
    """What metrics.json says, once it is known to be this configuration's."""
    provenance = metrics["provenance"]
    device = provenance.get("device")
    evaluations, problems = read_evaluations(files, metrics["config_hash"])
    return {
        "status": metrics["status"],
        "steps": metrics["steps"],
        "values": measured_values(metrics, files.metrics),
        "diagnostics": metrics["diagnostics"],
        "verified": provenance["data"].get("verified"),
        "commit": need(provenance, "commit", str | None, files.metrics, "provenance."),
        "device": str(device) if device is not None else None,
        "reason": _why_stopped(metrics) if metrics["status"] == STOPPED_EARLY else "",
        "collapsed": _collapsed(metrics),
        "metrics": metrics,
        "evaluations": tuple(evaluations),
        "problems": (*problems, *_problem_of_curve(files, metrics)),
    }


def _problem_of_curve(files: RunFolder, metrics: Mapping[str, Any]) -> list[str]:
    """Why the training curve is not that of the results, if it is not."""
    try:
        curve_as_written(files.curve, metrics)
    except FileNotFoundError:
        return []  # as in a folder of which the small files alone were copied
    except ValueError as error:
        return [str(error).replace(f"{files.path}{os.sep}", "")]
    return []


def _why_failed(failure: Mapping[str, Any], files: RunFolder) -> dict[str, Any]:
    """The step and the reason of a failure.json, without the folders of the machine that it happened on."""
    said = [need(failure, key, str, files.failure) for key in ("error", "message")]
    step = failure.get("step")
    return {"steps": step if is_kind(step, int) else None, "reason": FOLDERS.sub("…/", ": ".join(said))}


def _why_stopped(metrics: Mapping[str, Any]) -> str:
    return str(metrics.get("stopped_by") or metrics.get("reason") or "a callback ended training")


def _collapsed(metrics: Mapping[str, Any]) -> str:
    found = metrics.get("collapsed")
    return "; ".join(f"{name}: {said}" for name, said in found.items()) if isinstance(found, Mapping) else ""
