"""A Gaussian posterior that cannot come nearer to its prior than a committed rate (Razavi et al., 2019)."""

import math

import torch
from scipy.optimize import brentq
from torch import Tensor

from softvq.bottlenecks.base import Bottleneck, Latent
from softvq.bottlenecks.vae import kl_to_standard_normal
from softvq.checks import at_least

SMALLEST_RADICAND = 1e-8  # the root's slope is infinite at 0


class DeltaVAE(Bottleneck):
    r"""A posterior N(mu, sigma^2) of each unit with KL(N(mu, sigma^2) || N(0, 1)) >= delta whatever the heads say.

        sigma^2 = l + (u - l) sigmoid(h),    l < 1 < u the roots of ln t - t + 2 delta + 1 = 0
        mu = sqrt(2 delta + 1 + ln sigma^2 - sigma^2) + relu(m)

    Twice the KL is mu^2 + sigma^2 - ln sigma^2 - 1, so mu^2 >= the radicand gives KL >= delta; between l and u the
    radicand is not negative. The penalty is kl_weight * KL in nats, summed over the code, mean over the batch: at least
    kl_weight * M * d * delta.

    The probes read mu as z_e.

    Reference: Razavi et al. (2019), section 2.1 and appendix; the independent form, not that of sequences.
    """

    def __init__(self, d: int, delta: float, kl_weight: float) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        at_least("bottleneck.delta", delta, 0)
        at_least("bottleneck.kl_weight", kl_weight, 0)
        self.d, self.delta, self.kl_weight = d, delta, kl_weight
        self.smallest, self.largest = variance_bounds(delta)

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d, "variance": self.d}

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor:
        return torch.randn(batch, positions, self.d, generator=generator)

    def sample_prior(self, count: int, positions: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, positions, self.d, generator=generator)

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        variance = self.smallest + (self.largest - self.smallest) * heads["variance"].sigmoid()
        log_var = variance.log()
        radicand = 2 * self.delta + 1 + log_var - variance
        mean = radicand.clamp(min=SMALLEST_RADICAND).sqrt() + heads["z_e"].relu()
        kl = kl_to_standard_normal(mean, log_var)  # (B, M)
        kl_loss = kl.sum(1).mean()
        return Latent(
            z=mean if noise is None else mean + variance.sqrt() * noise,
            penalty=self.kl_weight * kl_loss,
            terms={"kl_loss": kl_loss},
            taps={"z_e": mean, "log_var": log_var, "rate": kl / math.log(2)},
        )


def variance_bounds(delta: float) -> tuple[float, float]:
    """The roots l <= 1 <= u of ln t - t + 2 delta + 1 = 0."""

    def excess(t: float) -> float:
        return math.log(t) - t + 2 * delta + 1

    return brentq(excess, math.exp(-2 * delta - 1), 1), brentq(excess, 1, 4 * (delta + 1))
