"""Sparse codes: the largest units are kept (Makhzani & Frey, 2013; Gao et al., 2024; Bussmann et al., 2024)."""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import softplus

from softvq.bottlenecks.base import Bottleneck, Coder, Latent, Noise, Objective
from softvq.bottlenecks.processes import gathered, summed
from softvq.checks import at_least, between


class SparseCode(Bottleneck):
    r"""z keeps the largest of relu(z_e) and sets the others to zero; subclasses say which are kept.

    A unit that has not been kept in any code of the last `dead_after` steps is dead. So that it may come back, the
    dead units with the largest outputs, `revived` of them, are added to the code to help where it falls short:

        loss = rec(z) + revival_weight rec(sg(z) + z_dead)

    and without a dead unit the second term is zero.

    Reference: Gao et al. (2024), appendix A.2 (AuxK). Differs from it by: theirs reconstructs the residual by a linear
    decoder, for which the sum of codes is the same thing; and a dead unit helps with softplus(z_e), whose gradient also
    reaches units below zero.
    """

    idle: Tensor

    def __init__(self, d: int, k: int, dead_after: int, revived: int, revival_weight: float) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        at_least("bottleneck.k", k, 1, whole=True)
        between("bottleneck.k", k, 1, d)
        at_least("bottleneck.dead_after", dead_after, 1, whole=True)
        at_least("bottleneck.revived", revived, 1, whole=True)
        between("bottleneck.revived", revived, 1, d)
        at_least("bottleneck.revival_weight", revival_weight, 0)
        self.d, self.k, self.dead_after, self.revived = d, k, dead_after, revived
        self.revival_weight = revival_weight
        self.register_buffer("idle", torch.zeros(d, dtype=torch.int64))

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d}

    @abstractmethod
    def kept(self, active: Tensor) -> Tensor:
        """Which numbers of relu(z_e) (B, M, d) are kept, a mask of the same shape."""

    def forward(self, heads: dict[str, Tensor], noise: None) -> Latent:
        z_e = heads["z_e"]
        active = z_e.relu()
        z = active * self.kept(active.detach()).to(z_e.dtype)
        on = z.detach() > 0
        if self.training:
            fired = summed(on.flatten(0, 1).sum(0))
            self.idle.copy_(torch.where(fired > 0, 0, self.idle + 1))
        return Latent(
            z=z,
            penalty=z_e.new_zeros(()),
            terms={
                "kept_units": on.sum((1, 2)).to(z_e.dtype).mean(),
                "dead_units": (self.idle >= self.dead_after).sum().to(z_e.dtype),
            },
            taps={"z_e": z_e, "z": z},
        )

    def objective(self, coder: Coder, x: Tensor, noise: Noise, labels: Tensor | None) -> Objective:
        objective = super().objective(coder, x, noise, labels)
        if not self.training:
            return objective
        z_e, dead = objective.latent.taps["z_e"], self.idle >= self.dead_after
        outputs = torch.where(dead, z_e, -torch.inf)
        helping = _largest(outputs.detach(), self.revived) & dead
        z = objective.latent.z.detach() + torch.where(helping, softplus(z_e), 0)
        revival_loss = dead.any().to(z_e.dtype) * coder.reconstruction_loss(coder.decode(z), x)
        loss = objective.loss + self.revival_weight * revival_loss
        return Objective(loss, {**objective.terms, "revival_loss": revival_loss}, objective.latent)


class TopK(SparseCode):
    """The k largest units of each code are kept.

    Reference: Makhzani & Frey (2013), section 2.1.
    """

    def kept(self, active: Tensor) -> Tensor:
        return _largest(active, self.k)


class BatchTopK(SparseCode):
    """The k N largest numbers of a batch's N codes are kept; in evaluation mode those above a threshold.

    The threshold is a moving average of the smallest number kept in training.

    Reference: Bussmann et al. (2024), section 3. Differs from it by: a moving average in place of the mean over a
    training's batches.
    """

    threshold: Tensor

    def __init__(
        self, d: int, k: int, dead_after: int, revived: int, revival_weight: float, threshold_decay: float
    ) -> None:
        super().__init__(d, k, dead_after, revived, revival_weight)
        between("bottleneck.threshold_decay", threshold_decay, 0, 1)
        self.threshold_decay = threshold_decay
        self.register_buffer("threshold", torch.zeros(()))

    def kept(self, active: Tensor) -> Tensor:
        if not self.training:
            return active > self.threshold
        everywhere = gathered(active).flatten()
        smallest = everywhere.topk(self.k * len(everywhere) // self.d).values[-1]
        mask = (active >= smallest) & (active > 0)
        positive = torch.where(everywhere >= smallest, everywhere, torch.inf)
        least = torch.where(positive > 0, positive, torch.inf).min()
        moved = self.threshold_decay * self.threshold + (1 - self.threshold_decay) * least
        moved = torch.where(self.threshold == 0, least, moved)
        self.threshold.copy_(torch.where(least.isfinite(), moved, self.threshold))
        return mask


def _largest(numbers: Tensor, count: int) -> Tensor:
    """A mask of the `count` largest numbers along the last axis."""
    chosen = numbers.topk(count, dim=-1).indices
    return torch.zeros_like(numbers, dtype=torch.bool).scatter(-1, chosen, True)
