"""Vector quantization trained by soft expectation maximisation (Roy et al., 2018)."""

from collections.abc import Callable

import torch
from torch import Tensor

from softvq.bottlenecks.base import Latent
from softvq.bottlenecks.codebook import squared_distances
from softvq.bottlenecks.moving_average import MovingAverageQuantizer, assignment
from softvq.checks import at_least


class EMVQ(MovingAverageQuantizer):
    r"""z_q = 1/m sum_l mu_{k_l} with m draws k_l ~ softmax(-||z_e - mu_k||^2); without noise the nearest codeword.

    The E-step is c_ik, the share of code i's draws that fell on codeword k; the M-step moves the codewords to the
    means of the codes weighted by c.

    Reference: Roy et al. (2018), section 3.2; compared with their public code (tensor2tensor, discretization.py).
    """

    def __init__(
        self,
        d: int,
        K: int,
        samples: int,
        decay: float,
        smoothing: float,
        commitment_weight: float,
        codebook_init: Callable[[int, int], Tensor],
    ) -> None:
        super().__init__(d, K, decay, smoothing, commitment_weight, codebook_init)
        at_least("bottleneck.samples", samples, 1, whole=True)
        self.samples = samples

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor:
        return torch.rand(batch, positions, self.samples, generator=generator)

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        z_e, K = heads["z_e"], len(self.codewords)
        distances = squared_distances(z_e.detach(), self.codewords)
        posterior, index = (-distances).softmax(-1), distances.argmin(-1)
        share = assignment(index, K, z_e.dtype)
        if noise is not None:
            # The draw is the first codeword at which the sum of the probabilities passes the uniform number.
            passed = posterior.cumsum(-1)[..., None, :] < noise[..., None]  # (B, M, m, K)
            draws = passed.sum(-1).clamp(max=K - 1)
            share = assignment(draws, K, z_e.dtype).mean(-2)
        latent = self.latent(z_e, share @ self.codewords, {"posterior": posterior.to(z_e.dtype), "index": index})
        if self.training:
            self.codebook.update(z_e.detach(), share)
        return latent
