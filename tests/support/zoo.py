"""Every bottleneck of conf/bottleneck, small: built from its YAML, with heads, noise and networks to go with it."""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from golden import attached
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from softvq.bottlenecks.base import Bottleneck, Latent
from softvq.config.compose import CONF_DIR, compose
from softvq.published import SEES_LABELS
from softvq.randomness import Stream, generator
from softvq.run.build import build_model
from softvq.training.autoencoder import Autoencoder

NAMES = sorted(path.stem for path in (CONF_DIR / "bottleneck").glob("*.yaml"))
B, M, d, K = 8, 2, 5, 7  # K is no other size, so that an axis of length K is the codebook's

# A small size of what each YAML sets beyond network.d and K.
SMALL: dict[str, tuple[str, ...]] = {
    "som_vae": ("bottleneck.rows=3", "bottleneck.columns=2"),
    "topk": ("bottleneck.k=2", "bottleneck.revived=2", "bottleneck.dead_after=3"),
    "batch_topk": ("bottleneck.k=2", "bottleneck.revived=2", "bottleneck.dead_after=3"),
    "lfq": ("bottleneck.options.codebook_size=8",),
    "sim_vq": ("bottleneck.options.codebook_size=7",),
    "residual_vq": ("bottleneck.options.codebook_size=7", "bottleneck.options.num_quantizers=2"),
    "rotation_vq": ("bottleneck.options.codebook_size=7",),
    "soft_to_hard": ("bottleneck.patch=1",),
    "capacity_vae": ("bottleneck.anneal_steps=10",),
}

# Their loss looks across the images of a batch, so that it is no mean of the images' losses.
ACROSS_IMAGES = {"acai", "batch_topk", "capacity_vae", "lfq"}
# Their objective wants the images' labels.
LABELLED = SEES_LABELS
# Codewords have places, or are implied by other numbers: they cannot be permuted.
ORDERED = {"som_vae", "lfq"}

# Golden comparisons: d where 3 is no width of the method's, and the tolerance where a library computes in float32.
GOLDEN_SIZES = {"fsq": 4, "lfq": 4}
GOLDEN_RTOL = {"lfq": 1e-4, "residual_vq": 1e-5, "rotation_vq": 1e-5}

NETWORKS = {
    "mlp": ((8, 8, 1), ("network.encoder.hidden=[16]", "network.decoder.hidden=[16]")),
    "conv": ((16, 16, 3), ("network.encoder.channels=[4,4,4,8]", "network.decoder.channels=[8,4,4]")),
    "conv_spatial": ((32, 32, 3), ("network.encoder.channels=[4,4,4,8]", "network.decoder.channels=[8,4,4]")),
    "conv_spatial_4x4": ((32, 32, 3), ("network.encoder.channels=[4,4,8]", "network.decoder.channels=[8,4]")),
    "conv_spatial_8x8": ((32, 32, 3), ("network.encoder.channels=[4,8]", "network.decoder.channels=[8]")),
    "conv_small": ((28, 28, 1), ("network.encoder.channels=[4,4,8]", "network.decoder.channels=[8,4]")),
}


@cache
def _composed(*overrides: str) -> DictConfig:
    return compose("train", overrides)


def configuration(name: str, *overrides: str) -> DictConfig:
    """`conf/train.yaml` with a bottleneck of width d and K codewords, on digits."""
    config = _composed("data=digits", f"bottleneck={name}").copy()
    sized = (f"bottleneck.K={K}",) if "K" in config.bottleneck else ()
    config.merge_with_dotlist([f"network.d={d}", *sized, *SMALL.get(name, ()), *overrides])
    return config


def in_file(name: str, key: str) -> Any:
    """What a bottleneck's YAML, or one that it extends, has under a key; None where it has nothing."""
    file = OmegaConf.load(CONF_DIR / "bottleneck" / f"{name}.yaml")
    for part in (file, file.get("bottleneck", {})):  # the second in a file that begins `# @package _global_`
        if key in part:
            return part[key]
    extended = [parent for parent in file.get("defaults", []) if isinstance(parent, str) and parent != "_self_"]
    return next((in_file(parent, key) for parent in extended), None)


TRAINED = [name for name in NAMES if in_file(name, "trained") is not False]


def settings(name: str, *overrides: str) -> SimpleNamespace:
    """The numbers of a bottleneck's YAML, as they are built with."""
    return SimpleNamespace(**OmegaConf.to_container(configuration(name, *overrides).bottleneck, resolve=True))


def make(name: str, *overrides: str) -> Bottleneck:
    """The bottleneck of a YAML in float64, attached to images of 2 x 2 pixels."""
    return attached(instantiate(configuration(name, *overrides).bottleneck)).double()


def random_heads(bottleneck: Bottleneck, batch: int = B) -> dict[str, Tensor]:
    return {name: torch.randn(batch, M, width).double() for name, width in bottleneck.heads.items()}


def draw(bottleneck: Bottleneck, batch: int = B, seed: int = 0, positions: int = M) -> Any:
    noise = bottleneck.draw_noise(batch, positions, torch.Generator().manual_seed(seed))
    return mapped(Tensor.double, noise)


def mapped(change: Callable[[Tensor], Tensor], noise: Any) -> Any:
    """Noise with each of its tensors changed."""
    if isinstance(noise, dict):
        return {name: change(value) for name, value in noise.items()}
    return None if noise is None else change(noise)


def model(name: str, network: str = "mlp", *overrides: str) -> Autoencoder:
    """A small autoencoder with this bottleneck, in float32; its images are `images(network)`."""
    shape, small = NETWORKS[network]
    config = configuration(name)
    if name != "raw":
        config.network = _composed("data=digits", f"network={network}").network
        config.network.d = d
        config.merge_with_dotlist([*small, *overrides])
    return build_model(config, shape, 0.1, classes=3)


def images(network: str = "mlp", batch: int = B, seed: int = 0) -> Tensor:
    shape, _ = NETWORKS[network]
    return torch.randint(256, (batch, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def labels(batch: int = B, seed: int = 0) -> Tensor:
    return torch.randint(3, (batch,), generator=torch.Generator().manual_seed(seed))


def noise_of(net: Autoencoder, step: int, batch: int = B, seed: int = 0) -> Any:
    """As training draws it."""
    return net.bottleneck.draw_noise(batch, net.encoder.positions, generator(seed, Stream.NOISE, step))


def loss(net: Autoencoder, step: int = 0, batch: int = B, network: str = "mlp") -> dict[str, Tensor]:
    """The terms of one step as training computes them."""
    seen = labels(batch, step) if net.bottleneck.learns_from_labels else None
    return net.loss(images(network, batch, step), noise_of(net, step, batch), seen)[0]


def assert_equal(first: Latent, second: Latent) -> None:
    assert torch.equal(first.z, second.z)
    assert torch.equal(first.penalty, second.penalty)
    for found, wanted in ((first.terms, second.terms), (first.taps, second.taps)):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
