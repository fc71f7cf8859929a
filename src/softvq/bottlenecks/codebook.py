"""What bottlenecks with a codebook share: initialisation, distances, the straight-through estimator."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from softvq.bottlenecks.base import Bottleneck
from softvq.checks import at_least


def uniform_unit_scaling(K: int, d: int) -> Tensor:
    """A codebook (K, d), uniform in +-sqrt(3 / d): unit-norm codewords in expectation.

    Reference: Wu & Flierl (2019), "Training Setup": "the codebook is initialized by the uniform unit scaling".
    """
    limit = math.sqrt(3 / d)
    return torch.empty(K, d).uniform_(-limit, limit)


def uniform_within_inverse_size(K: int, d: int) -> Tensor:
    """A codebook (K, d), uniform in +-1 / K: codewords so close together that they all suit any z_e alike at first.

    Reference: the start of many public implementations of VQ-VAE.
    """
    return torch.empty(K, d).uniform_(-1 / K, 1 / K)


def truncated_normal_scaling(K: int, d: int) -> Tensor:
    """A codebook (K, d), normal with variance 1 / d cut at two standard deviations: the released SVHN notebook."""
    # The variance of a standard normal cut at +-2 is 0.7737; dividing by its root restores the intended variance.
    std = math.sqrt(1 / d) / 0.87962566103423978
    return torch.nn.init.trunc_normal_(torch.empty(K, d), std=std, a=-2 * std, b=2 * std)


def squared_distances(z: Tensor, codebook: Tensor) -> Tensor:
    """||z - mu_k||^2 for each codeword, in float64: the three terms cancel where z lies near a codeword.

    Mixed precision leaves float64 alone; Apple's GPUs, which have none, keep the type of z.

    Shapes: z (B, M, d); codebook (K, d). Returns (B, M, K).

    Raises:
        ValueError: if z and the codebook disagree on d.
    """
    if z.shape[-1] != codebook.shape[-1]:
        raise ValueError(f"z has width {z.shape[-1]} but the codewords have d = {codebook.shape[-1]}; set network.d")
    if z.device.type != "mps":
        z, codebook = z.double(), codebook.double()
    return z.square().sum(-1, keepdim=True) - 2 * z @ codebook.T + codebook.square().sum(-1)


def straight_through(z: Tensor, quantized: Tensor) -> Tensor:
    """The value of `quantized`; its gradient goes to `z` unchanged (paper, below eq. 27)."""
    return z + (quantized - z).detach()


class LearnedCodebook(Bottleneck):
    """A bottleneck with K codewords of width d that gradients move; it asks the encoder for z_e alone."""

    def __init__(self, d: int, K: int, codebook_init: Callable[[int, int], Tensor]) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        at_least("bottleneck.K", K, 2, whole=True)
        self.codebook = nn.Parameter(codebook_init(K, d))

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.codebook.shape[1]}

    @property
    def codewords(self) -> Tensor:
        return self.codebook
