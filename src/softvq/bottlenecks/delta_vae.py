"""Gaussian posteriors that cannot come nearer to their prior than a committed rate (Razavi et al., 2019)."""

import math

import torch
from scipy.optimize import brentq
from torch import Tensor

from softvq.bottlenecks.base import Latent
from softvq.bottlenecks.vae import WeightedKL, kl_to_standard_normal
from softvq.checks import at_least, between

SMALLEST_RADICAND = 1e-8  # the root's slope is infinite at 0


class DeltaVAE(WeightedKL):
    r"""A posterior N(mu, sigma^2) of each unit with KL(N(mu, sigma^2) || N(0, 1)) >= delta whatever the heads say.

        sigma^2 = l + (u - l) sigmoid(h),    l < 1 < u the roots of ln t - t + 2 delta + 1 = 0
        mu = sqrt(2 delta + 1 + ln sigma^2 - sigma^2) + relu(m)

    Twice the KL is mu^2 + sigma^2 - ln sigma^2 - 1, so mu^2 >= the radicand gives KL >= delta; between l and u the
    radicand is not negative. The penalty is kl_weight * KL in nats, summed over the code, mean over the batch: at least
    kl_weight * M * d * delta.

    The probes read mu as z_e.

    Reference: Razavi et al. (2019), section 2.1 and appendix: the independent form; positions are independent, too.
    """

    def __init__(self, d: int, delta: float, kl_weight: float) -> None:
        super().__init__(d, kl_weight)
        at_least("bottleneck.delta", delta, 0)
        self.delta = delta
        self.smallest, self.largest = variance_bounds(delta)

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d, "variance": self.d}

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        variance = self.smallest + (self.largest - self.smallest) * heads["variance"].sigmoid()
        log_var = variance.log()
        radicand = 2 * self.delta + 1 + log_var - variance
        mean = radicand.clamp(min=SMALLEST_RADICAND).sqrt() + heads["z_e"].relu()
        return self.latent(mean, variance.sqrt(), log_var, kl_to_standard_normal(mean, log_var), noise)


class AutoregressiveDeltaVAE(WeightedKL):
    r"""Independent posteriors N(mu_t, sigma_t^2) under a prior that ties neighbours z_t of a sequence together.

        z_1 ~ N(0, 1),    z_t | z_{t-1} ~ N(a z_{t-1}, 1 - a^2)

    No independent posterior equals such a prior, so that the KL of a sequence of length n >= 2 is at least
    ((n - 2) ln(1 + a^2) - ln(1 - a^2)) / 2. With E over z_{t-1} taken in closed form the KL of position t is

        (ln((1 - a^2) / sigma_t^2) + (sigma_t^2 + (mu_t - a mu_{t-1})^2 + a^2 sigma_{t-1}^2) / (1 - a^2) - 1) / 2.

    On a feature map each unit is a sequence over the positions, row by row; of a dense code (M = 1) the units are one
    sequence. The penalty is kl_weight * KL in nats, summed over the code, mean over the batch.

    Reference: Razavi et al. (2019), the sequential form, and its appendix for the bound. Differs from it by:
    a dense code is a sequence, too; the decoder is not autoregressive.
    """

    def __init__(self, d: int, a: float, kl_weight: float) -> None:
        super().__init__(d, kl_weight)
        between("bottleneck.a", a, 0, 1)
        if a == 1:
            raise ValueError("bottleneck.a must be below 1, got 1")
        self.a = a

    def sample_prior(self, count: int, positions: int, generator: torch.Generator) -> Tensor:
        steps = as_sequences(torch.randn(count, positions, self.d, generator=generator))
        values = [steps[:, 0]]
        for step in steps[:, 1:].unbind(1):
            values.append(self.a * values[-1] + math.sqrt(1 - self.a**2) * step)
        return torch.stack(values, 1).reshape(count, positions, self.d)

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        mean, log_var = heads["z_e"], heads["log_var"]
        kl = self.kl(as_sequences(mean), as_sequences(log_var)).reshape(mean.shape).sum(-1)  # (B, M)
        return self.latent(mean, (0.5 * log_var).exp(), log_var, kl, noise)

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """Each number's part of the KL, nats; mean, log_var and what is returned (B, n, sequences)."""
        variance, left = log_var.exp(), 1 - self.a**2
        first = mean[:, :1].square() + variance[:, :1] - log_var[:, :1] - 1
        step = variance[:, 1:] + (mean[:, 1:] - self.a * mean[:, :-1]).square() + self.a**2 * variance[:, :-1]
        return torch.cat([first, step / left + math.log(left) - log_var[:, 1:] - 1], 1) / 2


def as_sequences(code: Tensor) -> Tensor:
    """A code (B, M, d) as d sequences of length M; a dense one (B, 1, d) as one sequence (B, d, 1)."""
    return code.transpose(1, 2) if code.shape[1] == 1 else code


def variance_bounds(delta: float) -> tuple[float, float]:
    """The roots l <= 1 <= u of ln t - t + 2 delta + 1 = 0."""

    def excess(t: float) -> float:
        return math.log(t) - t + 2 * delta + 1

    return brentq(excess, math.exp(-2 * delta - 1), 1), brentq(excess, 1, 4 * (delta + 1))
