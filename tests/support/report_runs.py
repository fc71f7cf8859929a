"""Run folders as training writes them, with results made up: what the tests of the report read."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from softvq.config.compose import CONF_DIR
from softvq.config.identity import config_hash, result_settings
from softvq.published import published
from softvq.run.cell import read_cell
from softvq.run_folder import read_json, write_json, write_text

SHA = "a8d9b48c8d832f8366a6659d1631af1a8352ebd50836cad7cc8801cae14efca1"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODELS = ("raw", "untrained", "identity", "vae", "beta_vae", "info_dropout", "vq", "soft_vq")
HOSTILE = r"a|b & 50% of $x_1^2$ {#1} ~ \input{/etc/passwd} `code` <script>alert(1)</script> \"\"\n| new"


@cache
def composed(data: str, bottleneck: str, overrides: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Resolved configuration and choices of a cell, as a run completes them."""
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", [f"data={data}", f"bottleneck={bottleneck}", *overrides], return_hydra_config=True)
    hydra = config.hydra
    OmegaConf.set_struct(config, False)
    del config["hydra"]
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
    write_text(folder / "config.yaml", OmegaConf.to_yaml({**config, "choices": choices, "result_settings": settings}))
    trained = config.get("trained", True)
    names = ("clustering_accuracy", "clustering_nmi", "classification_accuracy")
    metrics = {
        "status": "finished",
        "bottleneck": bottleneck,
        "data": config["data"]["name"],
        "seed": seed,
        "fidelity": config["fidelity"],
        "steps": config["trainer"]["max_steps"] if trained else 0,
        "config_hash": config_hash(settings),
        "probes": dict(zip(names, probes, strict=True)),
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


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (240, 160)) -> None:
    """A PNG of coloured blots."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), 255, np.uint8)
    rng = np.random.default_rng(seed)
    for x, y in zip(rng.integers(0, size[0] - 9, 60), rng.integers(0, size[1] - 9, 60), strict=True):
        pixels[y : y + 8, x : x + 8] = rng.integers(0, 255, 3)
    Image.fromarray(pixels).save(path)


def write_table(root: Path, data: str, seeds: Sequence[int], models: Sequence[str] = MODELS, **settings: Any) -> None:
    """A row of runs for each model, scattered around the paper's numbers by less than a point."""
    for bottleneck in models:
        paper = published(data, bottleneck)
        center = [paper.get(m, 0.3) for m in ("clustering_accuracy", "clustering_nmi", "classification_accuracy")]
        for seed in seeds[:1] if bottleneck == "raw" else seeds:
            shift = np.random.default_rng([MODELS.index(bottleneck), seed]).normal(0, 0.004, 3)
            values = [float(np.clip(c + s, 0, 1)) for c, s in zip(center, shift, strict=True)]
            mse = 0.2 + 0.05 * MODELS.index(bottleneck) + 0.001 * seed
            folder = root / settings.get("experiment", "table_1") / data / bottleneck / f"seed-{seed}"
            write_run(folder, data, bottleneck, seed, values, mse, **settings)


def write_hostile(root: Path) -> None:
    """Runs whose names and messages are made to break out of every format."""
    folder = root / "javascript:alert(1)" / "a|b&c_d%$#{}~^`<i>"
    write_run(folder, overrides=("probes=fast",), more={"diagnostics": {HOSTILE: HOSTILE}})
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["choices"]["data"] = HOSTILE
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    metrics = read_json(folder / "metrics.json")
    metrics["provenance"] |= {"commit": HOSTILE, "device": HOSTILE}
    metrics["provenance"]["data"]["sha256"] = HOSTILE
    write_json(folder / "metrics.json", {**metrics, "data": HOSTILE, "bottleneck": HOSTILE + "\ud800"})
    picture(folder / "figures" / '"><img src=x onerror=alert(1)>.png')
    write_json(root / "failed" / "failure.json", {"error": HOSTILE, "message": "</script>" + HOSTILE})
