"""A Gaussian posterior of corrupted images, trained to reconstruct the clean ones (Im et al., 2017)."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from softvq.bottlenecks.base import Bottleneck, Coder, Latent, Noise, Objective
from softvq.bottlenecks.vae import GaussianPosterior
from softvq.checks import at_least, between


class DenoisingVAE(Bottleneck):
    r"""E_{x~}[rec(x) + kl_weight * KL(q(z | x~) || N(0, I))]: q sees the corrupted x~, the target is the clean x.

    One corruption of each image a step. In evaluation nothing is corrupted. The rest is the VAE's
    (`GaussianPosterior`).

    Reference: Im et al. (2017), eqs. (9)-(11), with one corruption and one sample.
    """

    image_shape: tuple[int, int, int]

    def __init__(self, d: int, kl_weight: float) -> None:
        super().__init__()
        self.posterior = GaussianPosterior(d, kl_weight)

    @property
    def heads(self) -> dict[str, int]:
        return self.posterior.heads

    def attach(
        self, image_shape: tuple[int, int, int], classes: int, encoder: Callable[..., nn.Module], mean_scale: float
    ) -> None:
        super().attach(image_shape, classes, encoder, mean_scale)
        self.image_shape = image_shape

    @abstractmethod
    def draw_corruption(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """What `corrupted` needs of randomness, (B, H, W, C)."""

    @abstractmethod
    def corrupted(self, x: Tensor, corruption: Tensor) -> Tensor:
        """Pixels x (B, H, W, C), corrupted."""

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {
            "latent": self.posterior.draw_noise(batch, positions, generator),
            "pixels": self.draw_corruption((batch, *self.image_shape), generator),
        }

    def sample_prior(self, count: int, positions: int, generator: torch.Generator) -> Tensor:
        return self.posterior.sample_prior(count, positions, generator)

    def forward(self, heads: dict[str, Tensor], noise: dict[str, Tensor] | None) -> Latent:
        return self.posterior(heads, None if noise is None else noise["latent"])

    def objective(self, coder: Coder, x: Tensor, noise: Noise, labels: Tensor | None) -> Objective:
        seen = x
        if noise is not None:
            assert isinstance(noise, dict)
            seen = self.corrupted(x, noise["pixels"])
        latent = self(coder.encode_pixels(seen), noise)
        reconstruction_loss = coder.reconstruction_loss(coder.decode(latent.z), x)
        loss = reconstruction_loss + coder.penalty_weight * latent.penalty
        return Objective(loss, {"reconstruction_loss": reconstruction_loss, **latent.terms}, latent)


class MaskedVAE(DenoisingVAE):
    """Each number of an image is set to 0, as pixels are scaled, with probability `mask_rate`."""

    def __init__(self, d: int, kl_weight: float, mask_rate: float) -> None:
        super().__init__(d, kl_weight)
        between("bottleneck.mask_rate", mask_rate, 0, 1)
        self.mask_rate = mask_rate

    def draw_corruption(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.rand(shape, generator=generator)

    def corrupted(self, x: Tensor, corruption: Tensor) -> Tensor:
        return torch.where(corruption < self.mask_rate, 0, x)


class GaussianNoiseVAE(DenoisingVAE):
    """Gaussian noise of standard deviation `noise_std`, in the pixels' units, is added to each image.

    Also one of the two forms of amortised inference regularisation: q(z | x + noise) is a smoother function of x
    (Shu et al., 2018, section 3).
    """

    def __init__(self, d: int, kl_weight: float, noise_std: float) -> None:
        super().__init__(d, kl_weight)
        at_least("bottleneck.noise_std", noise_std, 0)
        self.noise_std = noise_std

    def draw_corruption(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=generator)

    def corrupted(self, x: Tensor, corruption: Tensor) -> Tensor:
        return x + self.noise_std * corruption
