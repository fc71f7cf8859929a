"""What every bottleneck takes and gives."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

REDUCTIONS = ("sum", "mean")


@dataclass(frozen=True)
class Latent:
    """What a bottleneck makes of a batch of encoder outputs.

    Shapes: B images, M latent vectors an image (1 for a dense code), each of width d.

    Attributes:
        z: (B, M, d), read by the decoder.
        penalty: (), weighted sum of the bottleneck's loss terms, mean over the batch; added to the reconstruction loss.
        terms: unweighted loss terms and diagnostics, each (); logged under their names.
        taps: what the probes can read, by name; always `z_e` (B, M, d), the noiseless encoder output.
    """

    z: Tensor
    penalty: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    taps: dict[str, Tensor] = field(default_factory=dict)


class Bottleneck(nn.Module, ABC):
    """The operation between encoder and decoder; models differ in this alone."""

    @property
    @abstractmethod
    def heads(self) -> dict[str, int]:
        """Encoder outputs that the bottleneck asks for: name -> width per latent vector; always `z_e`: d."""

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor | None:
        """The noise of one training step, (batch, positions, ...), or None for a deterministic bottleneck.

        Noise is drawn outside `forward` so that a step is a function of its inputs: the same noise can be replayed
        after a resume, sliced over devices, or fed into a captured graph.
        """
        return None

    @abstractmethod
    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        """Maps head outputs, each (B, M, width), to the latent; `noise=None` switches the noise off."""


def reduction_over_code(reduction: str) -> Callable[[Tensor], Tensor]:
    """The reduction over a code's M x d numbers: `sum` (the paper's norms) or `mean` (the released notebooks).

    Returns:
        A function from (B, M, d) to (): reduced over M and d, then the mean over the batch.

    Raises:
        ValueError: for another word.
    """
    if _checked(reduction) == "sum":
        return lambda x: x.sum() / len(x)
    return lambda x: x.mean()


def squared_error_over_code(reduction: str) -> Callable[[Tensor, Tensor], Tensor]:
    """`reduction_over_code` of two codes' squared difference, in one operation.

    Returns:
        A function from two (B, M, d) to ().

    Raises:
        ValueError: for another word.
    """
    if _checked(reduction) == "sum":
        return lambda x, y: mse_loss(x, y, reduction="sum") / len(x)
    return mse_loss


def _checked(reduction: str) -> str:
    if reduction not in REDUCTIONS:
        raise ValueError(f"bottleneck.reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    return reduction
