"""Codewords on a grid, as in a self-organising map (Fortuin et al., 2019)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import mse_loss

from softvq.bottlenecks.base import Coder, Latent, Noise, Objective
from softvq.bottlenecks.codebook import LearnedCodebook, squared_distances
from softvq.checks import at_least


class SOMVAE(LearnedCodebook):
    r"""k = argmin_k ||z_e - mu_k||; both mu_k and z_e are decoded, and there is no straight-through gradient.

        loss = rec(mu_k) + rec(z_e) + commitment_weight mean ||z_e - mu_k||^2
               + som_weight mean_{n in N(k)} mean ||sg(z_e) - mu_n||^2

    N(k) is k and its neighbours above, below, left and right that exist. The encoder learns through z_e, the codewords
    through every term with a mu. The last two terms are in the units of a loss that is a mean (`mean_scale`).

    Reference: Fortuin et al. (2019), eqs. (1)-(3), without the terms for sequences. Differs from their public code by:
    that has zeros in the place of neighbours that a codeword at the edge does not have.

    Attributes:
        grid: (rows, columns); codeword r * columns + c lies at row r and column c.
    """

    neighbours: Tensor
    exists: Tensor

    def __init__(
        self,
        d: int,
        rows: int,
        columns: int,
        commitment_weight: float,
        som_weight: float,
        codebook_init: Callable[[int, int], Tensor],
    ) -> None:
        at_least("bottleneck.rows", rows, 1, whole=True)
        at_least("bottleneck.columns", columns, 1, whole=True)
        at_least("bottleneck.rows * bottleneck.columns", rows * columns, 2)
        super().__init__(d, rows * columns, codebook_init)
        at_least("bottleneck.commitment_weight", commitment_weight, 0)
        at_least("bottleneck.som_weight", som_weight, 0)
        self.grid = (rows, columns)
        self.commitment_weight, self.som_weight = commitment_weight, som_weight
        neighbours, exists = _neighbours(rows, columns)
        self.register_buffer("neighbours", neighbours, persistent=False)
        self.register_buffer("exists", exists, persistent=False)

    def forward(self, heads: dict[str, Tensor], noise: None) -> Latent:
        z_e = heads["z_e"]
        index = squared_distances(z_e.detach(), self.codebook.detach()).argmin(-1)  # (B, M)
        z_q = functional.embedding(index, self.codebook)
        commitment_loss = mse_loss(z_e, z_q)
        around = functional.embedding(self.neighbours[index], self.codebook)  # (B, M, 5, d)
        exists = self.exists[index].to(z_e.dtype)  # (B, M, 5)
        squares = (z_e.detach()[..., None, :] - around).square().mean(-1)  # (B, M, 5)
        som_loss = ((squares * exists).sum(-1) / exists.sum(-1)).mean()
        penalty = self.commitment_weight * commitment_loss + self.som_weight * som_loss
        return Latent(
            z=z_q,
            penalty=self.mean_scale * penalty,
            terms={"commitment_loss": commitment_loss, "som_loss": som_loss},
            taps={"z_e": z_e, "z_q": z_q, "index": index},
        )

    def objective(self, coder: Coder, x: Tensor, noise: Noise, labels: Tensor | None) -> Objective:
        objective = super().objective(coder, x, noise, labels)
        z_e_loss = coder.reconstruction_loss(coder.decode(objective.latent.taps["z_e"]), x)
        terms = {**objective.terms, "z_e_reconstruction_loss": z_e_loss}
        return Objective(objective.loss + z_e_loss, terms, objective.latent)


def _neighbours(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Of each codeword the numbers of itself and its four neighbours, and which of them exist; both (K, 5)."""
    row, column = torch.arange(rows)[:, None, None], torch.arange(columns)[None, :, None]
    r, c = row + torch.tensor([0, -1, 1, 0, 0]), column + torch.tensor([0, 0, 0, -1, 1])
    exists = ((r >= 0) & (r < rows) & (c >= 0) & (c < columns)).flatten(0, 1)
    return torch.where(exists, (r * columns + c).flatten(0, 1), 0), exists
