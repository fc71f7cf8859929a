"""Single cells on small networks and few steps, for the tests that run whole ones."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from omegaconf import DictConfig, OmegaConf

from softvq.config.compose import compose, without_hydra
from softvq.run.cell import Cell, Outcome, read_cell
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

OFTEN = ("trainer.checkpoint_after_s=0", "trainer.checkpoint_every_s=0", "trainer.checkpoint_time_fraction=0")


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    composed = compose("train", ["hydra.run.dir=.", *overrides], return_hydra_config=True)
    OmegaConf.update(composed.hydra, "overrides.task", list(overrides), force_add=True)
    return composed


def make_cell(folder: Path, *overrides: str) -> Cell:
    """The cell of a run in that folder; each set of overrides is composed once."""
    composed = deepcopy(_composed((*QUICK, *overrides)))
    config = without_hydra(composed)
    return read_cell(config, composed.hydra, folder, None)


@contextmanager
def without_figures() -> Iterator[None]:
    """Within, cells draw nothing: pictures that nobody looks at take most of the time of so small a cell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softvq.probes.run.draw_figures", lambda *_: None)
        yield


def start(folder: Path, *overrides: str) -> Outcome:
    """How a cell ends that is started, or started again, in this folder; it draws no figures."""
    with without_figures():
        (outcome,) = complete([make_cell(folder, *overrides)])
    return outcome


def run(folder: Path, *overrides: str, figures: bool = False) -> dict[str, Any]:
    """The content of `metrics.json` of a cell that is finished."""
    with nullcontext() if figures else without_figures():
        (outcome,) = complete([make_cell(folder, *overrides)])
    assert outcome.status == "finished", outcome.message
    return json.loads(RunFolder(folder).metrics.read_text())


def results(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key not in ("time", "provenance")}


def evaluate(folder: Path, *overrides: str) -> dict[str, Any]:
    """Probes a finished run again, with the quick probes unless `overrides` say otherwise."""
    chosen = ["probes=fast", "probes.clustering.n_init=2", "trainer.progress=false", "trainer.threads=1"]
    return evaluate_run(compose("evaluate", [f"run={folder}", *chosen, *overrides]))


def killed(folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str, at: int = 3) -> RunFolder:
    """A run that ends without a word after a step, its checkpoints in place."""

    def die(self: L.Callback, trainer: L.Trainer, *_: object) -> None:
        if trainer.global_step >= at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("softvq.run.train.ProbesAtEnd.on_train_batch_end", die, raising=False)
        patch.setattr("softvq.data.chunks.MAX_CHUNK_STEPS", 1)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            start(folder, *OFTEN, *overrides)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning switches it off
    return RunFolder(folder)
