"""A codeword drawn by a relaxed sample from a categorical posterior (Sonderby et al., 2017; Jang et al., 2017)."""

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from softvq.bottlenecks.base import Latent
from softvq.bottlenecks.codebook import LearnedCodebook, squared_distances
from softvq.bottlenecks.moving_average import assignment
from softvq.checks import at_least, between


class RelaxedQuantizer(LearnedCodebook):
    r"""z_q = sum_k y_k mu_k, y = softmax((l + g) / tau), l_k = -||z_e - mu_k||^2, g standard Gumbel noise.

    The gradient goes through y and mu. Without noise the likeliest codeword is taken. The temperature falls with the
    step t: tau = max(tau_end, tau_start exp(-tau_decay t)). The penalty is kl_weight * KL(softmax(l) || uniform) =
    kl_weight * (ln K - H(softmax(l))) in nats, summed over positions, mean over the batch.

    Reference: Sonderby et al. (2017), whose logits are distances to embeddings; Jang et al. (2017) for the relaxation
    and the schedule.
    """

    step: Tensor

    def __init__(
        self,
        d: int,
        K: int,
        tau_start: float,
        tau_end: float,
        tau_decay: float,
        kl_weight: float,
        codebook_init: Callable[[int, int], Tensor],
    ) -> None:
        super().__init__(d, K, codebook_init)
        at_least("bottleneck.kl_weight", kl_weight, 0)
        at_least("bottleneck.tau_decay", tau_decay, 0)
        between("bottleneck.tau_end", tau_end, 0, tau_start)
        if tau_end == 0:
            raise ValueError("bottleneck.tau_end must be above 0, got 0")
        self.tau_start, self.tau_end, self.tau_decay = tau_start, tau_end, tau_decay
        self.kl_weight = kl_weight
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(batch, positions, len(self.codebook), generator=generator)
        return -(-uniform.clamp(min=torch.finfo(uniform.dtype).tiny).log()).log()

    def sample_prior(self, count: int, positions: int, generator: torch.Generator) -> Tensor:
        codewords = self.codebook.detach().cpu().float()
        return codewords[torch.randint(len(codewords), (count, positions), generator=generator)]

    @abstractmethod
    def chosen(self, y: Tensor) -> Tensor:
        """The weights (B, M, K) that the codewords get, from the relaxed sample y (B, M, K)."""

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        z_e, K = heads["z_e"], len(self.codebook)
        logits = -squared_distances(z_e, self.codebook)  # (B, M, K), float64
        log_posterior = logits.log_softmax(-1)
        posterior = log_posterior.exp()
        index = logits.argmax(-1)
        tau = (self.tau_start * torch.exp(-self.tau_decay * self.step.to(logits.dtype))).clamp(min=self.tau_end)
        if noise is None:
            weights = assignment(index, K, z_e.dtype)
        else:
            weights = self.chosen(((logits + noise) / tau).softmax(-1)).to(z_e.dtype)
        if self.training:
            self.step += 1
        kl = (posterior * (log_posterior + math.log(K))).sum(-1).to(z_e.dtype)  # (B, M)
        kl_loss = kl.sum(1).mean()
        z_q = weights @ self.codebook
        return Latent(
            z=z_q,
            penalty=self.kl_weight * kl_loss,
            terms={"kl_loss": kl_loss, "tau": tau.to(z_e.dtype)},
            taps={
                "z_e": z_e,
                "z_q": z_q,
                "posterior": posterior.to(z_e.dtype),
                "index": index,
                "rate": kl.clamp(min=0) / math.log(2),
            },
        )


class GumbelSoftmax(RelaxedQuantizer):
    """The decoder reads the relaxed sample itself."""

    def chosen(self, y: Tensor) -> Tensor:
        return y


class StraightThroughGumbelSoftmax(RelaxedQuantizer):
    """The decoder reads the codeword that the sample is nearest to; the gradient is that of the relaxed sample."""

    def chosen(self, y: Tensor) -> Tensor:
        return y + (assignment(y.argmax(-1), y.shape[-1], y.dtype) - y).detach()
