"""Whether the files of a finished run are what a run writes, and say the same as one another."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from softvq.bounded_files import printable
from softvq.config.compose import settings_of
from softvq.config.identity import config_hash, differences
from softvq.config.schema import kind_of
from softvq.run_folder import DamagedFileError, RunFolder

MODELS_OWN = ("bottleneck", "network", "reconstruction", "data", "penalty_weight", "seed", "fidelity")


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
