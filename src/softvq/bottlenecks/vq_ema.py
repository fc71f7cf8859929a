"""Vector quantization whose codebook follows the codes by moving averages (van den Oord et al., 2017)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from softvq.bottlenecks.base import Latent
from softvq.bottlenecks.codebook import squared_distances
from softvq.bottlenecks.moving_average import MovingAverageQuantizer, assignment
from softvq.checks import at_least, between


class VQEMA(MovingAverageQuantizer):
    r"""z_q = mu_c with c = argmin_k ||z_e - mu_k||; mu_k is the mean of the codes assigned to it lately.

    Reference: van den Oord et al. (2017), eqs. (1)-(3) without the codebook term, and appendix A.1.
    """

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        z_e = heads["z_e"]
        index = squared_distances(z_e.detach(), self.codewords).argmin(-1)  # (B, M)
        latent = self.latent(z_e, functional.embedding(index, self.codewords), {"index": index})
        if self.training:
            self.follow(z_e.detach(), index, noise)
        return latent

    def follow(self, z_e: Tensor, index: Tensor, noise: Tensor | None) -> None:
        """Moves the codewords towards the codes of a batch: z_e (B, M, d), index (B, M)."""
        self.codebook.update(z_e, assignment(index, len(self.codewords), z_e.dtype))


class KMeansVQEMA(VQEMA):
    """`VQEMA` whose codewords begin as the K-means centres of the untrained encoder's codes.

    Reference: the start of Zeghidour et al. (2021), section III-C. Differs from it by: more than the first batch is
    clustered, which in a training with one code an image holds fewer codes than there are codewords.
    """

    def __init__(
        self,
        d: int,
        K: int,
        decay: float,
        smoothing: float,
        commitment_weight: float,
        codebook_init: Callable[[int, int], Tensor],
        codes_per_codeword: int,
    ) -> None:
        super().__init__(d, K, decay, smoothing, commitment_weight, codebook_init)
        at_least("bottleneck.codes_per_codeword", codes_per_codeword, 1, whole=True)
        self.codes_to_start = K * codes_per_codeword

    def start(self, z_e: Tensor) -> None:
        from sklearn.cluster import KMeans

        K = len(self.codewords)
        if len(z_e) < K:
            raise ValueError(f"bottleneck.K is {K}, but there are only {len(z_e)} training codes to cluster; lower it")
        centres = KMeans(K, n_init=1, random_state=0).fit(z_e.numpy()).cluster_centers_
        self.codebook.start(torch.from_numpy(centres))


class RevivingVQEMA(VQEMA):
    """`VQEMA` that puts codewords nothing has been assigned to lately onto codes of the batch.

    Reference: the random restarts of Dhariwal et al. (2020), section 3.1: a codeword whose mean use falls below a
    threshold is put onto a random code of the batch. Differs from it by: the threshold is a part of the mean use of
    all codewords, which follows the batch size and K.
    """

    def __init__(
        self,
        d: int,
        K: int,
        decay: float,
        smoothing: float,
        commitment_weight: float,
        codebook_init: Callable[[int, int], Tensor],
        dead_below: float,
    ) -> None:
        super().__init__(d, K, decay, smoothing, commitment_weight, codebook_init)
        between("bottleneck.dead_below", dead_below, 0, 1)
        self.dead_below = dead_below

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor:
        return torch.rand(batch, positions, generator=generator)

    def follow(self, z_e: Tensor, index: Tensor, noise: Tensor | None) -> None:
        super().follow(z_e, index, noise)
        if noise is not None:
            self.codebook.revive(z_e, noise, self.dead_below)
