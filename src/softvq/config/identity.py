"""What of a configuration decides a run's result, and the hash that stands for it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

DECIDE_NO_NUMBER = ("save_latents", "tsne_points")  # settings of the probes for what is kept and drawn
RESULT_KEYS = ("bottleneck", "penalty_weight", "network", "reconstruction", "optimizer", "fidelity", "seed")


def result_settings(config: Mapping[str, Any], data_sha256: str) -> dict[str, Any]:
    """The part of a resolved configuration that decides the result; where and how it runs is left out."""
    data, trainer = config["data"], config["trainer"]
    probes = {key: value for key, value in config["probes"].items() if key not in DECIDE_NO_NUMBER}
    if probes["part"] == "test":  # left out: runs from before there was another part have hashes without it
        del probes["part"]
    return {
        **{key: config[key] for key in RESULT_KEYS},
        "data": {
            **{key: data[key] for key in ("name", "batch_size", "val_fraction", "pixel_offset", "output_activation")},
            "sha256": data_sha256,
        },
        "trainer": {
            **{key: trainer[key] for key in ("precision", "matmul_precision", "callbacks")},
            "max_steps": trainer["max_steps"] if config["trained"] else 0,
        },
        "probes": probes,
    }


def config_hash(settings: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of the settings' canonical JSON."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """One line `key: old -> new` for each leaf in which two nested settings differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lines = []
        for name in sorted({*old, *new}):
            lines += differences(old.get(name), new.get(name), f"{key}.{name}" if key else str(name))
        return lines
    return [] if old == new else [f"{key}: {old} -> {new}"]
