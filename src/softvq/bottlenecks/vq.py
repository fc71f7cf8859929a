"""Hard vector quantization (van den Oord et al., 2017)."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from softvq.bottlenecks.base import Latent, squared_error_over_code
from softvq.bottlenecks.codebook import LearnedCodebook, squared_distances, straight_through
from softvq.checks import at_least


class VectorQuantizer(LearnedCodebook):
    """z_q = mu_c with c = argmin_k ||z_e - mu_k|| (paper, eq. 1); ties go to the lowest index.

    The penalty is codebook_weight * ||sg(z_e) - z_q||^2 + commitment_weight * ||z_e - sg(z_q)||^2, reduced over the
    code by `reduction`, mean over the batch. The decoder's gradient is copied to z_e.
    """

    def __init__(
        self,
        d: int,
        K: int,
        codebook_weight: float,
        commitment_weight: float,
        reduction: str,
        codebook_init: Callable[[int, int], Tensor],
    ) -> None:
        super().__init__(d, K, codebook_init)
        at_least("bottleneck.codebook_weight", codebook_weight, 0)
        at_least("bottleneck.commitment_weight", commitment_weight, 0)
        self.codebook_weight, self.commitment_weight = codebook_weight, commitment_weight
        self.squared_error = squared_error_over_code(reduction)

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        z_e = heads["z_e"]
        index = squared_distances(z_e.detach(), self.codebook.detach()).argmin(-1)  # (B, M)
        z_q = functional.embedding(index, self.codebook)
        codebook_loss = self.squared_error(z_e.detach(), z_q)
        commitment_loss = self.squared_error(z_e, z_q.detach())
        return Latent(
            z=straight_through(z_e, z_q),
            penalty=self.codebook_weight * codebook_loss + self.commitment_weight * commitment_loss,
            terms={"codebook_loss": codebook_loss, "commitment_loss": commitment_loss},
            taps={"z_e": z_e, "z_q": z_q, "index": index},
        )
