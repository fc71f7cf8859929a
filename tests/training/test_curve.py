"""The training curve, and losses that are no number."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import DictConfig
from trainings import QUIET, fit, module_of, small_config

from softvq.data import chunks
from softvq.training.curve import Curve, NonFiniteLossError

pytestmark = [pytest.mark.filterwarnings(message) for message in QUIET]

STATISTICS = {
    "images": torch.tensor(4.0),
    "z_sum": torch.zeros(1, 2),
    "z_square_sum": torch.full((1, 2), 4.0),
    "z_outer_sum": 4 * torch.eye(2),
}


@pytest.fixture
def configure(compose_train: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., DictConfig]:
    return lambda bottleneck, *overrides: small_config(compose_train, tmp_path, bottleneck, *overrides)


def test_a_row_is_the_mean_since_the_row_before_and_the_state_of_the_code() -> None:
    curve = Curve()
    curve.add(0, ["loss", "kl_loss"], [[1.0, 10.0], [2.0, 20.0]])
    curve.add(2, ["loss", "kl_loss"], [[6.0, 60.0]])
    curve.statistics = dict(STATISTICS)
    row = curve.row()
    assert row["train/loss"] == 3.0
    assert row["train/kl_loss"] == 30.0
    assert row["train/code_scale"] == 1.0
    assert row["train/effective_rank"] == pytest.approx(2)
    curve.add(3, ["loss", "kl_loss"], [[5.0, 0.0]])
    curve.statistics = dict(STATISTICS)
    assert curve.row()["train/loss"] == 5.0


def test_a_curve_goes_on_from_what_was_saved_of_it() -> None:
    whole, first = Curve(), Curve()
    for curve in (whole, first):
        curve.add(0, ["loss"], [[0.1], [0.7]])
    resumed = Curve(first.sums, first.steps, STATISTICS)
    for curve in (whole, resumed):
        curve.add(2, ["loss"], [[1.3]])
    whole.statistics = dict(STATISTICS)
    assert resumed.row() == whole.row()


def test_a_row_that_another_version_began_keeps_the_terms_that_there_still_are() -> None:
    fewer = Curve({"loss": 3.0, "gone": 5.0}, 2, STATISTICS)
    fewer.add(2, ["loss"], [[6.0]])
    row = fewer.row()
    assert row["train/loss"] == 3.0
    assert "train/gone" not in row
    more = Curve({"loss": 3.0}, 2, STATISTICS)
    more.add(2, ["loss", "new"], [[6.0, 1.0]])
    row = more.row()
    assert (row["train/loss"], row["train/new"]) == (6.0, 1.0)  # of the steps since alone


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([math.nan, 1.0, math.nan], "kl_loss is nan"),
        ([math.inf, math.inf, 1.0], "reconstruction_loss is inf"),
        ([math.nan, 1.0, 1.0], "loss is nan"),
    ],
)
def test_the_term_that_spoils_the_loss_is_named_and_the_step_counted_from_one(row: list[float], said: str) -> None:
    with pytest.raises(NonFiniteLossError, match=f"^{said} at step 12;") as caught:
        Curve().add(10, ["loss", "reconstruction_loss", "kl_loss"], [[1.0, 1.0, 1.0], row])
    assert (caught.value.step, caught.value.term) == (12, said.split()[0])


class Poison(L.Callback):
    """Spoils a parameter once some steps are done."""

    def __init__(self, name: str, after: int) -> None:
        self.name, self.after = name, after

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *arguments: Any) -> None:
        if trainer.global_step == self.after:
            with torch.no_grad():
                pl_module.get_parameter(self.name).fill_(math.nan)


def test_a_loss_that_is_no_number_stops_training_at_its_step(
    monkeypatch: pytest.MonkeyPatch, configure: Callable[..., DictConfig]
) -> None:
    monkeypatch.setattr(chunks, "MAX_CHUNK_STEPS", 1)
    config = configure("soft_vq", "trainer.max_steps=9")
    with pytest.raises(NonFiniteLossError, match=r"^reconstruction_loss is nan at step 5; lower optimizer\.lr"):
        fit(module_of(config)[0], config, [Poison("net.decoder.output.0.bias", 4)])


def test_the_first_bad_step_inside_a_chunk_is_named_with_its_term(
    monkeypatch: pytest.MonkeyPatch, configure: Callable[..., DictConfig]
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e9)
    # Rows too far apart to end a chunk.
    config = configure("soft_vq", "trainer.max_steps=30", "trainer.log_every_n_steps=100")
    calls = itertools.count(1)
    module, _ = module_of(config)
    loss = module.net.loss

    def overflowing(*arguments: Any) -> Any:
        terms, sums = loss(*arguments)
        if next(calls) >= 13:  # the 6th of the chunk of 8 steps that begins after 7
            terms["codebook_loss"] = terms["codebook_loss"] * math.inf
        return terms, sums

    monkeypatch.setattr(module.net, "loss", overflowing)
    with pytest.raises(NonFiniteLossError, match=r"^codebook_loss is inf at step 13;"):
        fit(module, config)
    assert next(calls) == 16  # the chunk ran to its end at 15
