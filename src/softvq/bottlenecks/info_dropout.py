"""Information dropout: multiplicative log-normal noise with a learned scale (Achille & Soatto, 2018)."""

from abc import abstractmethod

import torch
from torch import Tensor

from softvq.bottlenecks.base import Bottleneck, Latent, reduction_over_code
from softvq.checks import at_least


class LogNormalDropout(Bottleneck):
    """z = z_e * exp(alpha * noise) with alpha learned per unit; alpha is bounded by `max_alpha`.

    The penalty is info_weight * the KL of the noise from the log-uniform prior, up to the constant that makes it zero
    at the largest alpha; reduced over the code by `reduction`, mean over the batch.
    """

    def __init__(self, d: int, info_weight: float, max_alpha: float, reduction: str) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        at_least("bottleneck.info_weight", info_weight, 0)
        at_least("bottleneck.max_alpha", max_alpha, 0)
        self.d, self.info_weight, self.max_alpha = d, info_weight, max_alpha
        self.reduce = reduction_over_code(reduction)

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d, "alpha": self.d}

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor:
        return torch.randn(batch, positions, self.d, generator=generator)

    @abstractmethod
    def alpha_and_cost(self, head: Tensor) -> tuple[Tensor, Tensor]:
        """The noise's scale and its information cost in nats, both (B, M, d), from the head's output."""

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        z_e = heads["z_e"]
        alpha, cost = self.alpha_and_cost(heads["alpha"])
        z = z_e if noise is None else z_e * (alpha * noise).exp()
        info_loss = self.reduce(cost)
        return Latent(
            z=z,
            penalty=self.info_weight * info_loss,
            terms={"info_loss": info_loss, "alpha": alpha.detach().mean()},
            taps={"z_e": z_e},
        )


class InformationDropout(LogNormalDropout):
    """alpha = 0.001 + max_alpha * sigmoid(head); cost -ln(alpha / (max_alpha + 0.001)), never negative.

    Reference: Achille & Soatto (2018), log-uniform prior, as in their public code for linear units.
    """

    def alpha_and_cost(self, head: Tensor) -> tuple[Tensor, Tensor]:
        alpha = 0.001 + self.max_alpha * head.sigmoid()
        return alpha, -(alpha / (self.max_alpha + 0.001)).log()


class ReleasedInformationDropout(LogNormalDropout):
    """alpha = max_alpha * head; cost -ln(head / max_alpha + 0.001): the notebooks' commented-out form.

    Differs from it by: the head is clamped at zero, where the notebooks' logarithm is not a number.
    """

    def __init__(self, d: int, info_weight: float, max_alpha: float, reduction: str) -> None:
        super().__init__(d, info_weight, max_alpha, reduction)
        if max_alpha == 0:
            raise ValueError("bottleneck.max_alpha must be above 0, by which fidelity=released divides, got 0")

    def alpha_and_cost(self, head: Tensor) -> tuple[Tensor, Tensor]:
        head = head.clamp(min=0)
        return self.max_alpha * head, -(head / self.max_alpha + 0.001).log()
