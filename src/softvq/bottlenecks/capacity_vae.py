"""A Gaussian posterior whose rate is led along a schedule (Burgess et al., 2018)."""

import math

import torch
from torch import Tensor

from softvq.bottlenecks.base import Latent
from softvq.bottlenecks.processes import averaged
from softvq.bottlenecks.vae import GaussianCode, kl_to_standard_normal
from softvq.checks import at_least


class CapacityVAE(GaussianCode):
    r"""The penalty is gap_weight * |KL - C(t)|, C(t) = C_max min(1, t / anneal_steps) nats at step t.

    The KL is summed over the code, mean over the batch; of the batch of all processes.

    Reference: Burgess et al. (2018), eq. (8).
    """

    step: Tensor

    def __init__(self, d: int, gap_weight: float, C_max: float, anneal_steps: int) -> None:
        super().__init__(d)
        at_least("bottleneck.gap_weight", gap_weight, 0)
        at_least("bottleneck.C_max", C_max, 0)
        at_least("bottleneck.anneal_steps", anneal_steps, 1, whole=True)
        self.gap_weight, self.C_max, self.anneal_steps = gap_weight, C_max, anneal_steps
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        mean, log_var = heads["z_e"], heads["log_var"]
        kl = kl_to_standard_normal(mean, log_var)  # (B, M)
        kl_loss = kl.sum(1).mean()
        capacity = self.C_max * (self.step.to(kl.dtype) / self.anneal_steps).clamp(max=1)
        side = torch.where(averaged(kl_loss) < capacity, -1.0, 1.0).to(kl.dtype)
        gap_loss = side * (kl_loss - capacity)  # |KL - C|, and so is its mean over processes with a part each
        if self.training:
            self.step += 1
        return Latent(
            z=mean if noise is None else mean + (0.5 * log_var).exp() * noise,
            penalty=self.gap_weight * gap_loss,
            terms={"kl_loss": kl_loss, "gap_loss": gap_loss, "capacity": capacity},
            taps={"z_e": mean, "log_var": log_var, "rate": kl / math.log(2)},
        )
