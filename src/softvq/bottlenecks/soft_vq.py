"""Soft vector quantization by a Bayesian estimator of the noisy latent code (Wu & Flierl, 2019)."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from softvq.bottlenecks.base import Latent, squared_error_over_code
from softvq.bottlenecks.codebook import LearnedCodebook, squared_distances, straight_through
from softvq.checks import at_least


def posterior(distances: Tensor, log_var: Tensor, d: int) -> Tensor:
    r"""p(mu_k | z'): the posterior over codewords of a Gaussian mixture with a uniform prior, in the log domain.

    The logit is -||z' - mu_k||^2 / (2 sigma_k^2) - d ln sigma_k; the rest of the density is the same for every k.

    Reference: Wu & Flierl (2019), eqs. (4), (5) and (7).
    Shapes: distances ||z' - mu_k||^2 and log_var, both (B, M, K). Returns (B, M, K); the last axis sums to 1.
    Units: log_var is ln sigma_k^2, the natural log of a variance in squared latent units.
    Example: codewords 0 and 1, z' = 1/4, unit variances: p(mu_0) = 1 / (1 + exp(-1/4)) = 0.5622.
    """
    return torch.softmax(-0.5 * torch.addcmul(d * log_var, distances, (-log_var).exp()), dim=-1)


def released_mnist_weights(distances: Tensor, log_std: Tensor) -> Tensor:
    r"""The released MNIST notebook's weights: the density is multiplied by sigma_k where eq. (5) divides by sigma_k^d.

    Shapes: distances and log_std (B, M, K). Returns (B, M, K); the last axis sums to 1.
    Units: log_std is ln sigma_k, the natural log of a standard deviation.
    """
    return torch.softmax(-0.5 * distances * (-2 * log_std).exp() + log_std, dim=-1)


def released_svhn_weights(distances: Tensor, log_std: Tensor) -> Tensor:
    r"""The released SVHN notebook's weights: normalised first, then multiplied by sigma_k.

    They sum to sum_k w_k sigma_k, which is not 1: the output is no convex combination of the codewords.

    Shapes: distances and log_std (B, M, K). Returns (B, M, K), non-negative.
    Units: log_std is ln sigma_k, the natural log of a standard deviation.
    """
    return torch.softmax(-0.5 * distances * (-2 * log_std).exp(), dim=-1) * log_std.exp()


class SoftQuantizer(LearnedCodebook):
    """z_q = sum_k w_k mu_k of the noisy code z' = z_e + sigma_eps * noise; subclasses say what the weights w are.

    The penalty is codebook_weight * ||sg(z') - z_q||^2 + commitment_weight * ||z' - sg(z_q)||^2 (paper, eq. 27),
    reduced over the code by `reduction`, mean over the batch. The weights are not detached in the first term: it trains
    the codewords, the scale head and, through the weights, z_e. The decoder's gradient is copied to z_e.
    """

    scale_head: str

    def __init__(
        self,
        d: int,
        K: int,
        sigma_eps: float,
        codebook_weight: float,
        commitment_weight: float,
        reduction: str,
        codebook_init: Callable[[int, int], Tensor],
    ) -> None:
        super().__init__(d, K, codebook_init)
        at_least("bottleneck.sigma_eps", sigma_eps, 0)
        at_least("bottleneck.codebook_weight", codebook_weight, 0)
        at_least("bottleneck.commitment_weight", commitment_weight, 0)
        self.sigma_eps = sigma_eps
        self.codebook_weight, self.commitment_weight = codebook_weight, commitment_weight
        self.squared_error = squared_error_over_code(reduction)

    @property
    def heads(self) -> dict[str, int]:
        K, d = self.codebook.shape
        return {"z_e": d, self.scale_head: K}

    @abstractmethod
    def weights(self, distances: Tensor, scale: Tensor) -> Tensor:
        """The codewords' weights (B, M, K) from ||z' - mu_k||^2 and the scale head's output, both (B, M, K)."""

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor | None:
        if self.sigma_eps == 0:
            return None
        return torch.randn(batch, positions, self.codebook.shape[1], generator=generator)

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        z_e, scale = heads["z_e"], heads[self.scale_head]
        noisy = z_e if noise is None else z_e.add(noise, alpha=self.sigma_eps)  # z'
        distances = squared_distances(noisy, self.codebook)
        w = self.weights(distances, scale.to(distances.dtype)).to(z_e.dtype)  # (B, M, K)
        z_q = w @ self.codebook  # eq. (6)
        codebook_loss = self.squared_error(noisy.detach(), z_q)
        commitment_loss = self.squared_error(noisy, z_q.detach())
        return Latent(
            z=straight_through(z_e, z_q),
            penalty=self.codebook_weight * codebook_loss + self.commitment_weight * commitment_loss,
            terms={
                "codebook_loss": codebook_loss,
                "commitment_loss": commitment_loss,
                self.scale_head: scale.detach().mean(),
            },
            taps={"z_e": z_e, "z_q": z_q, "posterior": w, "index": w.argmax(-1), self.scale_head: scale},
        )


class SoftVQ(SoftQuantizer):
    """Soft VQ as the paper's text has it: eqs. (4)-(7) and (27), the head is ln sigma_k^2."""

    scale_head = "log_var"

    def weights(self, distances: Tensor, scale: Tensor) -> Tensor:
        return posterior(distances, scale, self.codebook.shape[1])


class ReleasedMNISTSoftVQ(SoftQuantizer):
    """Soft VQ as the released MNIST notebook computes it: the head is ln sigma_k."""

    scale_head = "log_std"

    def weights(self, distances: Tensor, scale: Tensor) -> Tensor:
        return released_mnist_weights(distances, scale)


class ReleasedSVHNSoftVQ(SoftQuantizer):
    """Soft VQ as the released SVHN notebook computes it: the head is ln sigma_k, the weights do not sum to 1."""

    scale_head = "log_std"

    def weights(self, distances: Tensor, scale: Tensor) -> Tensor:
        return released_svhn_weights(distances, scale)


class EqualVarianceSoftVQ(SoftQuantizer):
    """Soft VQ whose codewords share one variance an image: eqs. (4)-(7) with equal sigma_k, learnt by the head.

    Reference: Wu & Flierl (2019), "Related Work": the single smoothing factor of Agustsson et al. (2017), beside which
    theirs are "different smoothing factors for each component". Differs from the former by: it is not annealed.
    """

    scale_head = "log_var"

    @property
    def heads(self) -> dict[str, int]:
        return {**super().heads, "log_var": 1}

    def weights(self, distances: Tensor, scale: Tensor) -> Tensor:
        return posterior(distances, scale.expand_as(distances), self.codebook.shape[1])
