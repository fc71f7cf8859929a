"""Replayed steps are the steps themselves, checked with a stand-in for the capture where there is no GPU."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from softvq.run.build import build_data, build_model
from softvq.run.train import replays_steps
from softvq.training.autoencoder import Autoencoder
from softvq.training.cuda_graph import Capture, Replay, capture_cuda_graph

STEPS = 12
TRAINED = ("identity", "vae", "beta_vae", "info_dropout", "vq", "soft_vq")


def stand_in(step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    """Records nothing: a replay runs the step again, over the same buffers, and writes its values in place."""
    values = torch.empty(0)

    def replay() -> None:
        found = step()
        values.resize_(found.shape).copy_(found)

    return replay, values


class Curve(L.Callback):
    """Every chunk's last loss, and the global steps at which chunks ended."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.steps: list[int] = []

    def on_train_batch_end(self, trainer: L.Trainer, *args: object) -> None:
        self.losses.append(float(trainer.callback_metrics["loss"]))
        self.steps.append(trainer.global_step)


def train(config: DictConfig, capture: Capture | None, accelerator: str = "cpu") -> tuple[Autoencoder, Curve]:
    data = build_data(config)
    data.setup()
    model = build_model(config, data.arrays.info.image_shape, data.arrays.info.pixel_variance)
    model.capture = capture
    curve = Curve()
    trainer = L.Trainer(
        max_steps=STEPS,
        max_epochs=-1,
        accelerator=accelerator,
        devices=1,
        callbacks=[curve],
        logger=False,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    assert trainer.global_step == STEPS
    return model, curve


@pytest.fixture
def config(request: pytest.FixtureRequest, compose_train: Callable[..., DictConfig], tmp_path: Path) -> DictConfig:
    small = ("network.encoder.hidden=[16]", "network.decoder.hidden=[16]", "trainer.log_every_n_steps=3")
    composed = compose_train("data=digits", f"bottleneck={request.param}", *small)
    composed.data.root = str(tmp_path)
    return composed


@pytest.mark.filterwarnings("ignore:.*srun.*", "ignore:.*GPU available.*", "ignore:.*LeafSpec.*")
@pytest.mark.parametrize("config", TRAINED, indirect=True)
def test_replayed_steps_train_as_steps_from_python_do(config: DictConfig) -> None:
    plain, plain_curve = train(config, None)
    replayed, replayed_curve = train(config, stand_in)
    assert replayed_curve.losses[-1] == plain_curve.losses[-1]
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(replayed.get_parameter(name), parameter, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("overrides", "replays"),
    [
        ((), True),
        (("trainer.cuda_graph=false",), False),
        (("trainer.precision=16-mixed",), False),
        (("optimizer._target_=torch.optim.AdamW",), True),
        (("optimizer._target_=torch.optim.SGD",), True),
        (("optimizer._target_=torch.optim.Adagrad",), False),  # computes its rate from the step in Python
    ],
)
def test_one_gpu_replays_steps_where_python_has_no_part_in_them(
    overrides: tuple[str, ...], replays: bool, compose_train: Callable[..., DictConfig]
) -> None:
    strategy = SimpleNamespace(root_device=torch.device("cuda"))
    trainer: Any = SimpleNamespace(world_size=1, strategy=strategy, callbacks=[])
    assert replays_steps(compose_train("data=digits", *overrides), trainer) == replays
    trainer.world_size = 2
    assert not replays_steps(compose_train("data=digits", *overrides), trainer)
    if not replays:
        with pytest.raises(ValueError, match=r"trainer\.cuda_graph=true needs one GPU"):
            replays_steps(compose_train("data=digits", *overrides, "trainer.cuda_graph=true"), trainer)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore:.*srun.*", "ignore:.*LeafSpec.*", "ignore:.*without CUDA graph capture.*")
@pytest.mark.parametrize("config", TRAINED, indirect=True)
def test_a_cuda_graph_trains_as_steps_from_python_do(config: DictConfig) -> None:
    _, plain = train(config, None, "gpu")
    _, replayed = train(config, capture_cuda_graph, "gpu")
    # Chunks may end elsewhere, so only the last loss is compared; another order of sums moves it slightly.
    assert replayed.losses[-1] == pytest.approx(plain.losses[-1], rel=1e-3)
