"""Soft assignments to a codebook that are annealed to hard ones (Agustsson et al., 2017)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from softvq.bottlenecks.base import Bottleneck, Coder, Latent, Noise, Objective
from softvq.bottlenecks.codebook import squared_distances
from softvq.bottlenecks.moving_average import assignment
from softvq.bottlenecks.processes import averaged
from softvq.checks import at_least, between

SMOOTHING = 1e-5  # of the histogram: a codeword that nothing is assigned to costs a finite number of nats


class SoftToHard(Bottleneck):
    r"""z is cut into patches of width d'; each becomes sum_k w_k mu_k, w = softmax(-sigma ||patch - mu_k||^2).

    The gradient goes through w and mu; in evaluation mode the nearest codeword is taken. The penalty is
    rate_weight * sum over patches of -sum_k w_k ln p_k, in nats, mean over the batch: what a code for the histogram p
    of hard assignments spends on the soft ones. p is a moving average and carries no gradient.

    sigma rises by a controller on the gap between the reconstruction losses of hard and soft assignments:

        sigma <- sigma + gain (gap(t) - gap(0) T / (T + t))

    Reference: Agustsson et al. (2017), section 3. Differs from it by: gap in the units of this package's
    reconstruction loss.
    """

    sigma: Tensor
    first_gap: Tensor
    step: Tensor
    use: Tensor

    def __init__(
        self,
        d: int,
        K: int,
        patch: int,
        sigma_start: float,
        gain: float,
        anneal_steps: int,
        rate_weight: float,
        use_decay: float,
        codebook_init: Callable[[int, int], Tensor],
    ) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        at_least("bottleneck.K", K, 2, whole=True)
        at_least("bottleneck.patch", patch, 1, whole=True)
        if d % patch:
            raise ValueError(f"bottleneck.patch must divide network.d, got {patch} and {d}")
        at_least("bottleneck.sigma_start", sigma_start, 0)
        at_least("bottleneck.gain", gain, 0)
        at_least("bottleneck.anneal_steps", anneal_steps, 1, whole=True)
        at_least("bottleneck.rate_weight", rate_weight, 0)
        between("bottleneck.use_decay", use_decay, 0, 1)
        self.d, self.patch, self.gain, self.anneal_steps = d, patch, gain, anneal_steps
        self.rate_weight, self.use_decay = rate_weight, use_decay
        self.codebook = nn.Parameter(codebook_init(K, patch))
        self.register_buffer("sigma", torch.tensor(float(sigma_start)))
        self.register_buffer("first_gap", torch.zeros(()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("use", torch.full((K,), 1 / K))

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d}

    @property
    def codewords(self) -> Tensor:
        """(K, d): each codeword in all patches of a code."""
        return self.codebook.repeat(1, self.d // self.patch)

    def forward(self, heads: dict[str, Tensor], noise: None) -> Latent:
        z_e, K = heads["z_e"], len(self.codebook)
        patches = z_e.unflatten(-1, (-1, self.patch))  # (B, M, P, d')
        distances = squared_distances(patches, self.codebook)  # (B, M, P, K)
        index = distances.argmin(-1)
        hard = assignment(index, K, z_e.dtype)
        posterior = (-self.sigma * distances).softmax(-1).to(z_e.dtype)
        weights = posterior if self.training else hard
        cost = -((self.use + SMOOTHING) / (1 + K * SMOOTHING)).log()  # nats of each codeword
        rate_loss = (weights @ cost).sum((1, 2)).mean()
        if self.training:
            with torch.no_grad():
                share = averaged(hard.mean((0, 1, 2)).to(self.use.dtype))
                self.use.mul_(self.use_decay).add_(share, alpha=1 - self.use_decay)
        single = patches.shape[2] == 1
        taps = {"z_e": z_e, "z_q": (hard @ self.codebook).flatten(-2), "index": index[:, :, 0] if single else index}
        if single:
            taps["posterior"] = posterior.squeeze(2)
        return Latent(
            z=(weights @ self.codebook).flatten(-2),
            penalty=self.rate_weight * rate_loss,
            terms={"rate_loss": rate_loss, "sigma": self.sigma.clone()},
            taps={**taps, "rate": (hard.detach() @ cost).sum(2) / math.log(2)},
        )

    def objective(self, coder: Coder, x: Tensor, noise: Noise, labels: Tensor | None) -> Objective:
        objective = super().objective(coder, x, noise, labels)
        if not self.training:
            return objective
        with torch.no_grad():
            hard_loss = coder.reconstruction_loss(coder.decode(objective.latent.taps["z_q"]), x)
            gap = averaged(hard_loss - objective.terms["reconstruction_loss"])
            self.first_gap.copy_(torch.where(self.step == 0, gap, self.first_gap))
            wanted = self.first_gap * self.anneal_steps / (self.anneal_steps + self.step)
            self.sigma.copy_((self.sigma + self.gain * (gap - wanted)).clamp(min=0))
            self.step += 1
        return Objective(objective.loss, {**objective.terms, "gap": gap}, objective.latent)
