"""Single cells on small networks and few steps, for the tests that run whole ones."""

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from softvq.config.compose import compose
from softvq.run.cell import Cell, read_cell
from softvq.run.complete import complete
from softvq.run.evaluate import evaluate_run
from softvq.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
SMALL_MLP = ("network.encoder.hidden=[16]", "network.decoder.hidden=[16]")
SMALL_CONV = ("network.encoder.channels=[4,4,4,8]", "network.decoder.channels=[8,4,4]")
QUICK = (
    "probes=fast",
    "probes.clustering.n_init=2",
    "probes.tsne_points=20",
    "trainer.max_steps=4",
    "trainer.log_every_n_steps=2",
    "trainer.threads=1",
    "trainer.progress=false",
    "trainer.accelerator=cpu",
)


def make_cell(folder: Path, *overrides: str) -> Cell:
    composed = compose("train", [*QUICK, f"hydra.run.dir={folder}", *overrides], return_hydra_config=True)
    hydra = composed.hydra
    OmegaConf.update(hydra, "overrides.task", [*QUICK, *overrides], force_add=True)
    config = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    return read_cell(config, hydra, folder, None)


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    (outcome,) = complete([make_cell(folder, *overrides)])
    assert outcome.status == "finished", outcome.message
    return json.loads(RunFolder(folder).metrics.read_text())


def results(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key not in ("time", "provenance")}


def evaluate(folder: Path, *overrides: str) -> dict[str, Any]:
    """Probes a finished run again, with the quick probes unless `overrides` say otherwise."""
    chosen = ["probes=fast", "probes.clustering.n_init=2", "trainer.progress=false", "trainer.threads=1"]
    return evaluate_run(compose("evaluate", [f"run={folder}", *chosen, *overrides]))
