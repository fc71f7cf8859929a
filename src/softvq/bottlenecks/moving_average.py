"""A codebook that follows the codes by moving averages instead of gradients."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from softvq.bottlenecks.base import Bottleneck, Latent
from softvq.bottlenecks.codebook import straight_through
from softvq.bottlenecks.processes import gathered, summed
from softvq.checks import at_least, between


class MovingAverageCodebook(nn.Module):
    r"""Codewords mu_k = m_k / N~_k, the means of the codes z_i that were assigned to them lately.

        N_k <- decay N_k + (1 - decay) sum_i c_ik
        m_k <- decay m_k + (1 - decay) sum_i c_ik z_i
        N~_k = N (N_k + smoothing) / (N + K smoothing),    N = sum_k N_k

    with c_ik the share of code i that is assigned to codeword k. Before training N_k = 1 and m_k = mu_k, so that a
    codeword that nothing is assigned to stays where it is until its N_k nears `smoothing`.

    Reference: van den Oord et al. (2017), appendix A.1; the Laplace smoothing is that of their public code.

    Args:
        K: codewords.
        d: their width.
        decay: of the averages, a step; 0.99 follows about the last hundred steps.
        smoothing: added to each count.
        init: makes the codewords (K, d) before training.

    Attributes:
        codewords: (K, d).
        counts: N_k, (K,).
        sums: m_k, (K, d).
    """

    codewords: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, K: int, d: int, decay: float, smoothing: float, init: Callable[[int, int], Tensor]) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        at_least("bottleneck.K", K, 2, whole=True)
        between("bottleneck.decay", decay, 0, 1)
        at_least("bottleneck.smoothing", smoothing, 0)
        self.decay, self.smoothing = decay, smoothing
        self.register_buffer("codewords", init(K, d))
        self.register_buffer("counts", torch.ones(K))
        self.register_buffer("sums", self.codewords.clone())

    @torch.no_grad()
    def start(self, codewords: Tensor) -> None:
        """Begins anew from codewords (K, d)."""
        self.codewords.copy_(codewords)
        self.sums.copy_(codewords)
        self.counts.fill_(1)

    @torch.no_grad()
    def update(self, z: Tensor, share: Tensor) -> None:
        """One step of the averages, over the parts of all processes.

        Shapes: z (B, M, d); share c_ik (B, M, K), rows sum to 1.
        """
        z, share = z.to(self.sums.dtype).flatten(0, 1), share.to(self.sums.dtype).flatten(0, 1)
        with torch.autocast(z.device.type, enabled=False):  # sums in the buffers' own precision
            assigned = share.T @ z
        self.counts.mul_(self.decay).add_(summed(share.sum(0)), alpha=1 - self.decay)
        self.sums.mul_(self.decay).add_(summed(assigned), alpha=1 - self.decay)
        total, K = self.counts.sum(), len(self.counts)
        smoothed = total * (self.counts + self.smoothing) / (total + K * self.smoothing)
        self.codewords.copy_(self.sums / smoothed[:, None])

    @torch.no_grad()
    def revive(self, z: Tensor, scores: Tensor, below: float) -> None:
        """Puts codewords whose N_k has fallen below a part of the mean N_k onto codes of this batch, with the mean N_k.

        Shapes: z (B, M, d); scores (B, M), random numbers: the codes with the lowest are taken, each once before any
        is taken twice.
        """
        z, scores = gathered(z.to(self.sums.dtype)).flatten(0, 1), gathered(scores).flatten()
        mean = self.counts.mean()
        dead = self.counts < below * mean
        turn = (dead.cumsum(0) - 1).clamp(min=0) % len(z)  # the first dead codeword gets the first code, and so on
        taken = z[scores.argsort()][turn]
        self.codewords.copy_(torch.where(dead[:, None], taken, self.codewords))
        self.sums.copy_(torch.where(dead[:, None], mean * taken, self.sums))
        self.counts.copy_(torch.where(dead, mean, self.counts))


class MovingAverageQuantizer(Bottleneck):
    """A bottleneck whose codebook follows the codes, and whose penalty draws the codes to it.

    The penalty is commitment_weight * mean ||z_e - sg(z_q)||^2, in the units of a loss that is a mean (`mean_scale`).
    No gradient reaches the codewords: after each training step they move as `MovingAverageCodebook` says. The
    decoder's gradient is copied to z_e.
    """

    def __init__(
        self,
        d: int,
        K: int,
        decay: float,
        smoothing: float,
        commitment_weight: float,
        codebook_init: Callable[[int, int], Tensor],
    ) -> None:
        super().__init__()
        at_least("bottleneck.commitment_weight", commitment_weight, 0)
        self.commitment_weight = commitment_weight
        self.codebook = MovingAverageCodebook(K, d, decay, smoothing, codebook_init)

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.codewords.shape[1]}

    @property
    def codewords(self) -> Tensor:
        return self.codebook.codewords

    def latent(self, z_e: Tensor, z_q: Tensor, taps: dict[str, Tensor]) -> Latent:
        """Of a code z_e and what it was quantized to, both (B, M, d), with the further taps."""
        commitment_loss = mse_loss(z_e, z_q)
        return Latent(
            z=straight_through(z_e, z_q),
            penalty=self.mean_scale * self.commitment_weight * commitment_loss,
            terms={"commitment_loss": commitment_loss},
            taps={"z_e": z_e, "z_q": z_q, **taps},
        )


def assignment(index: Tensor, K: int, dtype: torch.dtype) -> Tensor:
    """Rows of zeros with a one at the chosen codeword.

    Shapes: index (B, M). Returns (B, M, K).
    """
    return (index[..., None] == torch.arange(K, device=index.device)).to(dtype)
