"""The noise of a step is a function of (seed, step) alone, in every precision and on any number of devices."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor
from trainings import KINDS, QUIET, fit, module_of, small_config

from softvq.bottlenecks.base import Noise
from softvq.data.chunks import Chunk
from softvq.randomness import Stream, generator
from softvq.training.module import TrainingModule

pytestmark = [pytest.mark.filterwarnings(message) for message in QUIET]


@pytest.fixture
def configure(compose_train: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., DictConfig]:
    return lambda bottleneck, *overrides: small_config(compose_train, tmp_path, bottleneck, *overrides)


def drawn(module: TrainingModule, first_step: int, steps: int, rank: int = 0, world: int = 1) -> list[Noise]:
    """The noise of consecutive steps of 6 images on one of several devices."""
    B = 6 // world
    module._trainer = SimpleNamespace(global_rank=rank, world_size=world)  # type: ignore[assignment]
    images = torch.zeros(steps, *([len(module.members)] if len(module.members) > 1 else []), B, 8, 8, 1)
    return list(module._draw_noise(Chunk(first_step, images)))


def flat(noises: list[Noise]) -> Tensor:
    """Noises, of several kinds or of one, as numbers (steps, B, ...)."""
    parts = [
        torch.cat([kind.flatten(1) for kind in noise.values()], 1) if isinstance(noise, dict) else noise
        for noise in noises
    ]
    return torch.stack([part for part in parts if part is not None]) if parts[0] is not None else torch.zeros(0)


@pytest.mark.parametrize("bottleneck", ["identity", "info_dropout", *KINDS])
def test_noise_is_a_function_of_seed_and_step(configure: Callable[..., DictConfig], bottleneck: str) -> None:
    module, _ = module_of(configure(bottleneck))
    unbroken = flat(drawn(module, 0, 8))
    torch.rand(5)
    again, _ = module_of(configure(bottleneck))
    assert torch.equal(torch.cat([flat(drawn(again, *part)) for part in ((0, 3), (3, 1), (4, 4))]), unbroken)
    if unbroken.numel():
        assert unbroken.shape[:2] == (8, 6)
        assert len({tuple(step.flatten().tolist()) for step in unbroken}) == 8
        other, _ = module_of(configure(bottleneck, "seed=1"))
        assert not torch.equal(flat(drawn(other, 0, 8)), unbroken)


def test_it_is_the_generators_of_seed_and_step(configure: Callable[..., DictConfig]) -> None:
    module, _ = module_of(configure("soft_vq", "seed=5"))
    for step, noise in enumerate(drawn(module, 7, 3), start=7):
        assert torch.equal(noise, torch.randn(6, 1, 4, generator=generator(5, Stream.NOISE, step)))  # type: ignore[arg-type]


@pytest.mark.parametrize("bottleneck", ["soft_vq", "info_dropout"])
def test_devices_share_the_noise_of_the_whole_batch(configure: Callable[..., DictConfig], bottleneck: str) -> None:
    module, _ = module_of(configure(bottleneck))
    whole = flat(drawn(module, 5, 2))
    shares = [flat(drawn(module, 5, 2, rank, world=3)) for rank in range(3)]
    assert torch.equal(torch.cat(shares, dim=1), whole)


def test_stacked_seeds_each_get_their_own(configure: Callable[..., DictConfig]) -> None:
    config = configure("soft_vq")
    stacked, _ = module_of(config, seeds=(3, 1))
    alone = [flat(drawn(module_of(config, seeds=(seed,))[0], 4, 2)) for seed in (3, 1)]
    assert torch.equal(flat(drawn(stacked, 4, 2)), torch.stack(alone, dim=1))


class Seen(L.Callback):
    """Keeps the noise that each step is given."""

    def __init__(self) -> None:
        self.noises: list[Tensor] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        loss = pl_module.net.loss

        def seen(images: Tensor, noise: Any, *labels: Any) -> Any:
            self.noises.append(noise)
            return loss(images, noise, *labels)

        pl_module.net.loss = seen  # type: ignore[assignment,method-assign]


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("32-true", torch.float32),
        ("64-true", torch.float64),
        ("bf16-true", torch.bfloat16),
        ("16-true", torch.float16),
        ("bf16-mixed", torch.float32),
    ],
)
def test_every_precision_gets_the_same_noise_rounded_to_it(
    configure: Callable[..., DictConfig], precision: str, dtype: torch.dtype
) -> None:
    config = configure("vae", "trainer.max_steps=3", "data.batch_size=16", f"trainer.precision={precision}")
    seen = Seen()
    fit(module_of(config)[0], config, [seen])
    expected = [torch.randn(16, 1, 4, generator=generator(0, Stream.NOISE, step)) for step in range(3)]
    assert len(seen.noises) == 3
    for noise, exact in zip(seen.noises, expected, strict=True):
        assert noise.dtype == dtype
        assert torch.equal(noise, exact.to(dtype))
