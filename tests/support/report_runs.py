"""Run folders as training writes them, with results made up: what the tests of the report read."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from omegaconf import OmegaConf
from PIL import Image

from softvq.bounded_files import read_json
from softvq.config.identity import config_hash, result_settings
from softvq.published import PROBE_METRICS, ROWS, published
from softvq.report.read import departures
from softvq.run.cell import read_cell

SHA = "a8d9b48c8d832f8366a6659d1631af1a8352ebd50836cad7cc8801cae14efca1"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HOSTILE = r"a|b & 50% of $x_1^2$ {#1} ~ \input{/etc/passwd} `code` <script>alert(1)</script> \"\"" + "\n| new\x1b[2J"


def write_text(path: Path, text: str) -> None:
    """Writes a file without waiting for the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content))


@cache
def composed(data: str, bottleneck: str, overrides: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Resolved configuration and choices of a cell, as a run completes them."""
    groups = {"bottleneck": bottleneck, "data": data, "fidelity": "paper", "probes": "paper"}
    values = {}
    for key, _, value in (override.partition("=") for override in overrides):
        chosen = data == "arrays" or not ("." in key or key == "penalty_weight")  # the network follows from the files
        (groups if chosen else values)[key] = value
    # The report's own cache, so that each default is composed once in all tests.
    default, hydra = departures.composed((), tuple(f"{key}={value}" for key, value in groups.items()))
    config = deepcopy(default)
    OmegaConf.set_struct(config, False)
    for key, value in values.items():
        OmegaConf.update(config, key, yaml.safe_load(value))
    cell = read_cell(config, hydra, "run", None)
    return OmegaConf.to_container(cell.config, resolve=True), cell.choices


def write_run(
    folder: Path,
    data: str = "mnist",
    bottleneck: str = "vae",
    seed: int = 0,
    probes: Sequence[float] = (0.5644, 0.56, 0.891),
    mse: float = 0.3,
    overrides: Sequence[str] = (),
    experiment: str = "table_1",
    sha256: str = SHA,
    figures: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> Path:
    """A finished run."""
    config, choices = composed(data, bottleneck, tuple(overrides))
    config = {**config, "seed": seed, "experiment_name": experiment}
    settings = result_settings(config, sha256)
    write_yaml(folder / "config.yaml", {**config, "choices": choices, "result_settings": settings})
    trained = config.get("trained", True)
    metrics = {
        "status": "finished",
        "bottleneck": bottleneck,
        "data": config["data"]["name"],
        "seed": seed,
        "fidelity": config["fidelity"],
        "steps": config["trainer"]["max_steps"] if trained else 0,
        "config_hash": config_hash(settings),
        "probes": dict(zip(PROBE_METRICS, probes, strict=True)),
        "reconstruction": {"test_mse": mse * 0.095, "test_normalized_mse": mse} if trained else None,
        "diagnostics": {"active_units": 64, **({"perplexity": 41.5, "dead_codes": 7} if "vq" in bottleneck else {})},
        "protocol": config["probes"],
        "provenance": {
            "commit": COMMIT,
            "versions": {"softvq": "0.1.0"},
            "data": {"name": data, "source": "files", "sha256": sha256, "verified": True},
            "network": choices["network"],
            "device": "cpu",
            "devices": 1,
            "threads": 1,
        },
        "time": {"fit_s": 812.5, "steps_per_s": 49.2, "probe_s": 61.0},
        **(more or {}),
    }
    write_json(folder / "metrics.json", metrics)
    for name in figures:
        picture(folder / "figures" / f"{name}.png", seed)
    return folder


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, yaml.dump(json.loads(json.dumps(content)), Dumper=yaml.CSafeDumper, sort_keys=False))


def change_json(path: Path, **changes: Any) -> None:
    write_json(path, {**read_json(path), **changes})


def change_config(folder: Path, section: str, **changes: Any) -> None:
    """Alters a section of a config.yaml; of `result_settings` without giving metrics.json the new hash."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config[section] |= changes
    write_yaml(folder / "config.yaml", config)


def fail(folder: Path, message: str = "the loss is nan at step 120", step: int = 120) -> Path:
    """Turns a finished run into a failed one."""
    (folder / "metrics.json").unlink()
    write_json(folder / "failure.json", {"error": "NonFiniteLossError", "message": message, "step": step})
    return folder


def stop_early(folder: Path, steps: int) -> Path:
    """Turns a finished run into one that a callback ended."""
    change_json(folder / "metrics.json", status="stopped_early", steps=steps, stopped_by="Timer")
    return folder


def write_evaluation(folder: Path, protocol: str, tap: str, probes: Sequence[float], **changes: Any) -> Path:
    """What `softvq evaluate` leaves below a run."""
    metrics = read_json(folder / "metrics.json")
    path = folder / "evaluations" / f"{protocol}-{tap}-{metrics['data']}.json"
    content = {
        **{key: metrics[key] for key in ("bottleneck", "data", "seed", "fidelity", "steps", "config_hash")},
        "trained_on": metrics["data"],
        "probes": dict(zip(PROBE_METRICS, probes, strict=True)),
        "reconstruction": metrics["reconstruction"],
        "diagnostics": {},
        "protocol": {**metrics["protocol"], "name": protocol, "tap": tap},
        "data_sha256": SHA,
        **changes,
    }
    write_json(path, content)
    return path


def write_curve(folder: Path, steps: int = 5) -> None:
    """A training curve that falls."""
    rows = [f"{step},{10 / step!r},{8 / step!r}" for step in range(100, 100 * steps + 1, 100)]
    write_text(folder / "metrics.csv", "\n".join(["step,train/loss,train/reconstruction_loss", *rows, ""]))


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (240, 160)) -> None:
    """A PNG of coloured blots."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), 255, np.uint8)
    rng = np.random.default_rng(seed)
    for x, y in zip(rng.integers(0, size[0] - 9, 60), rng.integers(0, size[1] - 9, 60), strict=True):
        pixels[y : y + 8, x : x + 8] = rng.integers(0, 255, 3)
    Image.fromarray(pixels).save(path)


def write_table(root: Path, data: str, seeds: Sequence[int], models: Sequence[str] = ROWS, **settings: Any) -> None:
    """A row of runs for each model, scattered around the paper's numbers by less than a point."""
    for bottleneck in models:
        paper = published(data, bottleneck)
        center = [paper.get(metric, 0.3) for metric in PROBE_METRICS]
        for seed in seeds[:1] if bottleneck == "raw" else seeds:
            shift = np.random.default_rng([ROWS.index(bottleneck), seed]).normal(0, 0.004, 3)
            values = [float(np.clip(c + s, 0, 1)) for c, s in zip(center, shift, strict=True)]
            mse = 0.2 + 0.05 * ROWS.index(bottleneck) + 0.001 * seed
            folder = root / settings.get("experiment", "table_1") / data / bottleneck / f"seed-{seed}"
            write_run(folder, data, bottleneck, seed, values, mse, **settings)


def write_hostile(root: Path) -> None:
    """Runs whose names and messages are made to break out of every format."""
    folder = root / "javascript:alert(1)" / "a|b&c_d%$#{}~^`<i>\x1b[2J\n"
    write_run(folder, overrides=("probes=fast",), sha256=HOSTILE, experiment=HOSTILE)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["choices"] |= {"data": HOSTILE, "bottleneck": HOSTILE}
    config["data"]["name"] = config["result_settings"]["data"]["name"] = HOSTILE
    write_yaml(folder / "config.yaml", config)
    metrics = read_json(folder / "metrics.json")
    metrics["provenance"] |= {"commit": HOSTILE, "device": HOSTILE}
    changes = {"data": HOSTILE, "bottleneck": HOSTILE, "diagnostics": {HOSTILE: 1.0, "text": HOSTILE}}
    changes["config_hash"] = config_hash(config["result_settings"])
    write_json(folder / "metrics.json", {**metrics, **changes})
    picture(folder / "figures" / '"><img src=x onerror=alert(1)>.png')
    write_json(root / "failed" / "failure.json", {"error": HOSTILE, "message": "</script>" + HOSTILE})
