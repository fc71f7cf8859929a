"""Bits sent through a noisy channel (Choi et al., 2018)."""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from softvq.bottlenecks.base import Bottleneck, Coder, Latent, Noise, Objective, reconstruction_losses
from softvq.checks import at_least, between

SMALLEST_PROBABILITY = 1e-6  # of a bit's value, inside logarithms


class BinarySymmetricChannel(Bottleneck):
    r"""z_e are the logits of d bits; the decoder reads the bits y as the channel hands them on.

    A bit is 1 with probability p = sigmoid(z_e), and the channel flips it with probability `flip`, so
    P(y = 1) = q = p + flip - 2 p flip. Without noise a bit is 1 where p > 1/2 and the channel is off. There is no
    penalty: what limits the code is the channel.

    Reference: Choi et al. (2018), section 2; the collapsed Bernoulli is that of their public code (necst.py).
    """

    def __init__(self, d: int, flip: float) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        between("bottleneck.flip", flip, 0, 0.5)
        self.d, self.flip = d, flip

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d}

    def received(self, z_e: Tensor) -> Tensor:
        """q, the probability that a bit arrives as 1, (B, M, d)."""
        p = z_e.sigmoid()
        return p + self.flip - 2 * p * self.flip

    @abstractmethod
    def bits(self, q: Tensor, noise: Tensor) -> Tensor:
        """What the decoder reads in training, (B, M, d)."""

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        z_e = heads["z_e"]
        q = self.received(z_e)
        z = (z_e > 0).to(z_e.dtype) if noise is None else self.bits(q, noise)
        surprise = math.log(2) - _entropy(q)  # KL from a fair bit, nats
        return Latent(
            z=z, penalty=z_e.new_zeros(()), taps={"z_e": z_e, "rate": surprise.sum(-1).clamp(min=0) / math.log(2)}
        )


class StraightThroughNECST(BinarySymmetricChannel):
    """One draw of the bits; the gradient passes to q as if the decoder had read q itself."""

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor:
        return torch.rand(batch, positions, self.d, generator=generator)

    def bits(self, q: Tensor, noise: Tensor) -> Tensor:
        return q + ((noise < q).to(q.dtype) - q).detach()


class NECST(BinarySymmetricChannel):
    r"""The bound L = ln(1/S sum_s p(x | y_s)) over S draws y_s ~ q, with VIMCO's gradient for q.

    The reconstruction loss is -ln p(x | y) up to a constant. L's gradient in q is estimated by
    sum_s (L - L^(-s)) grad ln q(y_s), where L^(-s) has the geometric mean of the other draws' p(x | y) in the place of
    draw s's (Mnih & Rezende, 2016).

    Reference: Choi et al. (2018), section 3. Differs from their public code by: that takes the error itself for
    ln p(x | y), so that its weights favour the worst draw; ours is minus the error.
    """

    def __init__(self, d: int, flip: float, samples: int) -> None:
        super().__init__(d, flip)
        at_least("bottleneck.samples", samples, 2, whole=True)
        self.samples = samples

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor:
        return torch.rand(batch, self.samples, positions, self.d, generator=generator)

    def bits(self, q: Tensor, noise: Tensor) -> Tensor:
        return (noise[:, 0] < q).to(q.dtype)

    def objective(self, coder: Coder, x: Tensor, noise: Noise, labels: Tensor | None) -> Objective:
        if noise is None:
            return super().objective(coder, x, noise, labels)
        assert isinstance(noise, Tensor)
        heads, S = coder.encode_pixels(x), self.samples
        q = self.received(heads["z_e"])[:, None]  # (B, 1, M, d)
        y = (noise < q).to(q.dtype)  # (B, S, M, d)
        log_q = torch.where(y == 1, q, 1 - q).clamp(min=SMALLEST_PROBABILITY).log().sum((2, 3))  # (B, S)
        images = x[:, None].expand(-1, S, -1, -1, -1).flatten(0, 1)
        log_p = -reconstruction_losses(coder, coder.decode(y.flatten(0, 1)), images).unflatten(0, (-1, S))
        bound = log_p.logsumexp(1) - math.log(S)  # (B,)
        advantage = (bound[:, None] - self._without_each(log_p)).detach()
        score = (advantage * log_q).sum(1)
        loss = -(bound + score - score.detach()).mean()  # the value of -L, and VIMCO's gradient
        terms = {"reconstruction_loss": -log_p.mean(), "bound_loss": loss.detach()}
        return Objective(loss, terms, self(heads, noise))

    def _without_each(self, log_p: Tensor) -> Tensor:
        """L^(-s), (B, S): the bound with the mean of the others' ln p in each draw's place."""
        S = self.samples
        others = (log_p.sum(1, keepdim=True) - log_p) / (S - 1)  # (B, S)
        diagonal = torch.eye(S, dtype=torch.bool, device=log_p.device)
        return torch.where(diagonal, others[..., None], log_p[:, None]).logsumexp(-1) - math.log(S)


def _entropy(q: Tensor) -> Tensor:
    """Of bits that are 1 with probability q, nats."""
    return torch.special.entr(q) + torch.special.entr(1 - q)
