"""A Gaussian posterior whose encoder's weights have rows of one norm (Shu et al., 2018)."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from softvq.bottlenecks.base import Bottleneck, Latent
from softvq.bottlenecks.vae import GaussianPosterior
from softvq.checks import at_least


class RowNorm(nn.Module):
    """Each row v of a weight becomes H v / ||v||; a convolution's row is all that leads to one of its channels."""

    def __init__(self, H: float) -> None:
        super().__init__()
        self.H = H

    def forward(self, weight: Tensor) -> Tensor:
        norm = weight.flatten(1).norm(dim=1).clamp(min=torch.finfo(weight.dtype).tiny)
        return weight * (self.H / norm).reshape(-1, *(1 for _ in weight.shape[1:]))


class WeightNormVAE(Bottleneck):
    """The VAE (`GaussianPosterior`) with an encoder of limited steepness: every row of its weights has the norm H.

    Reference: Shu et al. (2018), section 4: weight-normalised inference.
    """

    def __init__(self, d: int, kl_weight: float, H: float) -> None:
        super().__init__()
        at_least("bottleneck.H", H, 0)
        if H == 0:
            raise ValueError("bottleneck.H must be above 0, got 0")
        self.posterior, self.H = GaussianPosterior(d, kl_weight), H

    @property
    def heads(self) -> dict[str, int]:
        return self.posterior.heads

    def restrict(self, encoder: nn.Module) -> None:
        for layer in list(encoder.modules()):
            if isinstance(layer, nn.Linear | nn.Conv2d):
                parametrize.register_parametrization(layer, "weight", RowNorm(self.H))

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor:
        return self.posterior.draw_noise(batch, positions, generator)

    def sample_prior(self, count: int, positions: int, generator: torch.Generator) -> Tensor:
        return self.posterior.sample_prior(count, positions, generator)

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        return self.posterior(heads, noise)
