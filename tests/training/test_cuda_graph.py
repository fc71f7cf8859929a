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
from trainings import BOTTLENECKS

from softvq.data.module import ImageData, ReplicaData
from softvq.run.build import build_data, build_model, build_optimizer
from softvq.run.trainer import replays_steps
from softvq.training.cuda_graph import Capture, CudaGraphError, Replay, capture_cuda_graph
from softvq.training.member import Member
from softvq.training.module import TrainingModule

STEPS = 8
REPLAYED = [name for name in BOTTLENECKS if name != "dvib"]  # a step that reads labels is never replayed
SMALL = ("network.encoder.hidden=[16]", "network.decoder.hidden=[16]", "trainer.log_every_n_steps=3")


def stand_in(step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    """Records nothing: a replay runs the step again, over the same buffers, and writes its values in place."""
    values = torch.empty(0)

    def replay() -> None:
        found = step()
        values.resize_(found.shape).copy_(found)

    return replay, values


def member_and_data(config: DictConfig, seed: int) -> tuple[Member, ImageData]:
    own = config.copy()
    own.seed = seed
    data = build_data(own)
    data.setup()
    info = data.arrays.info
    return Member(build_model(own, info.image_shape, info.pixel_variance, info.classes), seed, ()), data


def built(config: DictConfig, seeds: int = 1) -> tuple[TrainingModule, L.LightningDataModule]:
    """So many seeds that are trained at once, and their data."""
    members, data = zip(*[member_and_data(config, seed) for seed in range(seeds)], strict=True)
    module = TrainingModule(members, build_optimizer(config), config.trainer.log_every_n_steps)
    return module, data[0] if seeds == 1 else ReplicaData(data)


def train(module: TrainingModule, data: L.LightningDataModule, accelerator: str = "cpu", **settings: Any) -> None:
    trainer = L.Trainer(
        max_steps=STEPS,
        max_epochs=-1,
        accelerator=accelerator,
        devices=1,
        logger=False,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(module, data)
    assert trainer.global_step == STEPS


def trained(
    config: DictConfig, capture: Capture | None, seeds: int = 1, *where: Any, **settings: Any
) -> TrainingModule:
    """After STEPS steps, of which those that are captured must be replayed."""
    module, data = built(config, seeds)
    module.capture, module.must_replay = capture, True
    train(module, data, *where, **settings)
    return module


@pytest.fixture
def config(compose_train: Callable[..., DictConfig], tmp_path: Path, request: pytest.FixtureRequest) -> DictConfig:
    composed = compose_train("data=digits", f"bottleneck={request.param}", *SMALL)
    composed.data.root = str(tmp_path)
    return composed


QUIET = pytest.mark.filterwarnings(
    "ignore:.*srun.*", "ignore:.*GPU available.*", "ignore:.*LeafSpec.*", "ignore:.*without CUDA graph capture.*"
)
ON_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@QUIET
@pytest.mark.parametrize(
    ("config", "seeds"), [("soft_vq", 1), ("vq_ema", 1), ("acai", 1), ("vae", 2), ("soft_vq", 2)], indirect=["config"]
)
def test_replayed_steps_train_as_steps_from_python_do(config: DictConfig, seeds: int) -> None:
    plain, replayed = trained(config, None, seeds), trained(config, stand_in, seeds)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(replayed.get_parameter(name), parameter, rtol=0, atol=1e-6)
    for one, other in zip(plain.members, replayed.members, strict=True):
        assert one.curve.sums == other.curve.sums
        for name, value in one.curve.statistics.items():
            torch.testing.assert_close(other.curve.statistics[name], value, rtol=1e-6, atol=0)


@QUIET
@pytest.mark.parametrize("config", ["soft_vq"], indirect=True)
def test_a_replay_that_leaves_out_the_statistics_is_found(config: DictConfig) -> None:
    module, data = built(config)

    def forgetful(step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
        def run() -> Tensor:
            values = step()
            for value in module._statistics.values():
                value.zero_()
            return values

        return stand_in(run)

    module.capture, module.must_replay = forgetful, True
    with pytest.raises(CudaGraphError, match="otherwise than Python does"):
        train(module, data)


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
    model: Any = SimpleNamespace(bottleneck=SimpleNamespace(learns_from_labels=False))
    assert replays_steps(compose_train("data=digits", *overrides), trainer, model) == replays
    trainer.world_size = 2
    assert not replays_steps(compose_train("data=digits", *overrides), trainer, model)
    if not replays:
        with pytest.raises(ValueError, match=r"trainer\.cuda_graph=true needs one GPU"):
            replays_steps(compose_train("data=digits", *overrides, "trainer.cuda_graph=true"), trainer, model)


@pytest.mark.gpu
@ON_A_GPU
@QUIET
@pytest.mark.parametrize(
    ("config", "precision", "seeds"),
    [*((name, "32-true", 1) for name in REPLAYED), ("vae", "bf16-mixed", 2), ("soft_vq", "bf16-mixed", 2)],
    indirect=["config"],
)
def test_a_cuda_graph_trains_as_steps_from_python_do(config: DictConfig, precision: str, seeds: int) -> None:
    plain = trained(config, None, seeds, accelerator="gpu", precision=precision)
    replayed = trained(config, capture_cuda_graph, seeds, accelerator="gpu", precision=precision)
    far = 1e-3 if precision == "32-true" else 1e-2  # of weights after a few steps, with sums in another order
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(replayed.get_parameter(name), parameter, rtol=0, atol=far)


class WaitsForTheDevice(torch.nn.Module):
    """A decoder that asks for a number in each step, which no capture can record."""

    def __init__(self, decoder: torch.nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor) -> Tensor:
        assert z.abs().max().item() >= 0
        return self.decoder(z)


@pytest.mark.gpu
@ON_A_GPU
@QUIET
@pytest.mark.parametrize("config", ["vae"], indirect=True)
def test_a_step_that_waits_for_the_gpu_is_run_by_python(config: DictConfig, capsys: pytest.CaptureFixture[str]) -> None:
    plain = trained(config, None, accelerator="gpu")
    module, data = built(config)
    module.net.decoder = WaitsForTheDevice(module.net.decoder)
    module.capture = capture_cuda_graph
    train(module, data, accelerator="gpu")
    assert capsys.readouterr().err.count("capturing it fails") == 1
    for one, other in zip(plain.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
