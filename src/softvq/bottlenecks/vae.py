"""Gaussian posterior, reparameterised (Kingma & Welling, 2014; Higgins et al., 2017)."""

import math

import torch
from torch import Tensor

from softvq.bottlenecks.base import Bottleneck, Latent
from softvq.checks import at_least


def kl_to_standard_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, diag(exp(log_var))) || N(0, I)) in nats, summed over d.

    Shapes: mean, log_var (..., d). Returns (...).
    Reference: Kingma & Welling (2014), appendix B.
    """
    return 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum(-1)


class GaussianCode(Bottleneck):
    """What bottlenecks with a Gaussian posterior of each unit and a standard normal prior share."""

    def __init__(self, d: int) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        self.d = d

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d, "log_var": self.d}

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor:
        return torch.randn(batch, positions, self.d, generator=generator)

    def sample_prior(self, count: int, positions: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, positions, self.d, generator=generator)


class WeightedKL(GaussianCode):
    """A Gaussian code whose penalty is kl_weight * KL in nats, summed over the code (M and d), mean over the batch."""

    def __init__(self, d: int, kl_weight: float) -> None:
        super().__init__(d)
        at_least("bottleneck.kl_weight", kl_weight, 0)
        self.kl_weight = kl_weight

    def latent(self, mean: Tensor, std: Tensor, log_var: Tensor, kl: Tensor, noise: Tensor | None) -> Latent:
        """Of a posterior N(mean, std^2) with its KL (B, M) from the prior; the others are (B, M, d)."""
        kl_loss = kl.sum(1).mean()
        return Latent(
            z=mean if noise is None else mean + std * noise,
            penalty=self.kl_weight * kl_loss,
            terms={"kl_loss": kl_loss},
            taps={"z_e": mean, "log_var": log_var, "rate": kl / math.log(2)},
        )


class GaussianPosterior(WeightedKL):
    """The variational autoencoder's bottleneck; `kl_weight` is the beta of the beta-VAE.

    z = mean + std * noise. The probes read the mean as z_e.
    """

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        mean, log_var = heads["z_e"], heads["log_var"]
        return self.latent(mean, (0.5 * log_var).exp(), log_var, kl_to_standard_normal(mean, log_var), noise)
