"""Whether the files of a finished run belong together: none of them was changed or exchanged after the run."""

from collections.abc import Mapping
from typing import Any

from softvq.bounded_files import printable
from softvq.config.identity import config_hash, differences
from softvq.run.fields import brief, is_kind, need, whole_numbers
from softvq.run.recorded import check_sections
from softvq.run_folder import DamagedFileError, RunFolder
from softvq.seals import BROKEN, is_whole

FINISHED, STOPPED_EARLY = "finished", "stopped_early"


def check_agreement(folder: RunFolder, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Refuses results and a configuration that do not belong together.

    `result_settings` in `config.yaml` is what the results' hash stands for. The rest of the configuration, from which a
    model is built, and what the results say of themselves must say the same.

    Args:
        folder: of the run.
        config: the content of its `config.yaml`.
        metrics: the content of its `metrics.json`.

    Raises:
        DamagedFileError: naming what is wrong.
    """
    check_sections(folder, config)
    check_results(folder, metrics)
    _check_hash(folder, config, metrics)
    _check_settings(folder, config)
    _check_said(folder, config, metrics)
    check_whole(folder, metrics)


def check_whole(folder: RunFolder, metrics: Mapping[str, Any]) -> None:
    """Refuses a `metrics.json` whose numbers were changed after they were written.

    Raises:
        DamagedFileError: if its checksum does not match.
    """
    if not is_whole(metrics):
        raise DamagedFileError(folder.metrics, BROKEN)


def check_results(folder: RunFolder, metrics: Mapping[str, Any]) -> None:
    """Refuses a `metrics.json` that lacks what is read of it.

    Raises:
        DamagedFileError: naming what is wrong.
    """
    file = folder.metrics
    if metrics.get("status") not in (FINISHED, STOPPED_EARLY):
        raise DamagedFileError(
            file, f"its status is {brief(metrics.get('status'))}, neither {FINISHED} nor {STOPPED_EARLY}"
        )
    for key, kind in {"bottleneck": str, "data": str, "fidelity": str, "seed": int, "steps": int}.items():
        need(metrics, key, kind, file)
    data = need(need(metrics, "provenance", Mapping, file), "data", Mapping, file, "provenance.")
    for key in ("name", "sha256"):
        need(data, key, str, file, "provenance.data.")
    need(data, "class_names", list | None, file, "provenance.data.")
    if metrics.get("reconstruction") is not None:
        errors = need(metrics, "reconstruction", Mapping, file)
        for key in ("test_mse", "test_normalized_mse"):
            if need(errors, key, float, file, "reconstruction.") <= 0:
                raise DamagedFileError(file, f"reconstruction.{key} is {errors[key]}, no error of images")
    for key in ("protocol", "diagnostics"):
        need(metrics, key, Mapping, file)


def _check_hash(folder: RunFolder, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    try:
        recorded = config_hash(config["result_settings"])
    except TypeError as error:
        raise DamagedFileError(folder.config, f"its settings are no plain values: {printable(str(error))}") from error
    if recorded != metrics["config_hash"]:
        its = brief(metrics["config_hash"])
        raise DamagedFileError(folder.metrics, f"its config_hash is {its}, that of config.yaml is '{recorded}'")


def _check_settings(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Compares the settings from which a model is built with those that the hash stands for."""
    for part, said in config["result_settings"].items():
        own = config.get(part)
        if isinstance(own, Mapping) and isinstance(said, Mapping):
            said = {key: value for key, value in said.items() if (part, key) != ("data", "sha256")}
            own = {key: own.get(key) for key in said}
        if changed := differences(said, own, part):
            raise DamagedFileError(
                folder.config, f"its settings are not those of the results: {printable(changed[0])[:200]}"
            )


def _check_said(folder: RunFolder, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Compares what the results say of themselves with the settings."""
    settings = config["result_settings"]
    said = {
        "seed": (metrics["seed"], settings.get("seed")),
        "fidelity": (metrics["fidelity"], settings.get("fidelity")),
        "bottleneck": (metrics["bottleneck"], config["choices"].get("bottleneck")),
        "data": (metrics["data"], config["data"].get("name")),
        "provenance.data.sha256": (metrics["provenance"]["data"]["sha256"], settings["data"].get("sha256")),
        **{f"protocol.{key}": (metrics["protocol"].get(key), value) for key, value in settings["probes"].items()},
    }
    planned = settings["trainer"].get("max_steps")
    if metrics["status"] == FINISHED:
        said["steps"] = (metrics["steps"], planned)
    elif not is_kind(planned, int) or not 0 <= metrics["steps"] <= planned:
        raise DamagedFileError(
            folder.metrics, f"it was stopped early after {metrics['steps']} steps, config.yaml has {brief(planned)}"
        )
    for key, (found, expected) in said.items():
        if whole_numbers(found) != whole_numbers(expected):
            raise DamagedFileError(folder.metrics, f"{key} is {brief(found)}, config.yaml has {brief(expected)}")
