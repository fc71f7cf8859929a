"""Interpolations that a critic cannot tell from reconstructions (Berthelot et al., 2018)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from softvq.bottlenecks.base import Bottleneck, Coder, Latent, Noise, Objective
from softvq.checks import at_least, between


class ACAI(Bottleneck):
    r"""The plain autoencoder, with a critic that is to guess how far two codes have been mixed.

        x_a = decoder(a z_1 + (1 - a) z_2),    a in [0, 1/2]
        autoencoder: rec + critic_weight mean critic(x_a)^2
        critic:      mean (critic(x_a) - a)^2 + mean critic(g x + (1 - g) x^)^2

    The critic is another encoder whose outputs are averaged. Each learns from its own line alone: the first sees the
    critic's weights, the second the images, behind a stop-gradient. Both are minimised in one step of an optimiser that
    treats every number by itself, as Adam does; `critic_lr` is the critic's own rate. The critic's term in the
    autoencoder's line is in the units of a loss that is a mean (`mean_scale`). Partners are neighbours in the batch.

    Without noise nothing is mixed and the loss is the reconstruction alone.

    Reference: Berthelot et al. (2018), eqs. (1) and (2); compared with their public code (acai.py).
    """

    critic: nn.Module

    def __init__(self, d: int, critic_weight: float, reconstruction_share: float, critic_lr: float) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        at_least("bottleneck.critic_weight", critic_weight, 0)
        between("bottleneck.reconstruction_share", reconstruction_share, 0, 1)
        at_least("bottleneck.critic_lr", critic_lr, 0)
        self.d, self.critic_weight, self.critic_lr = d, critic_weight, critic_lr
        self.reconstruction_share = reconstruction_share

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d}

    @property
    def learning_rates(self) -> dict[str, float]:
        return {"critic": self.critic_lr}

    def attach(
        self, image_shape: tuple[int, int, int], classes: int, encoder: Callable[..., nn.Module], mean_scale: float
    ) -> None:
        super().attach(image_shape, classes, encoder, mean_scale)
        self.critic = encoder(heads={"score": self.d})

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor:
        return 0.5 * torch.rand(batch, generator=generator)

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        z_e = heads["z_e"]
        return Latent(z=z_e, penalty=z_e.new_zeros(()), taps={"z_e": z_e})

    def objective(self, coder: Coder, x: Tensor, noise: Noise, labels: Tensor | None) -> Objective:
        latent = self(coder.encode_pixels(x), noise)
        reconstruction = coder.decode(latent.z)
        reconstruction_loss = coder.reconstruction_loss(reconstruction, x)
        if noise is None:
            return Objective(reconstruction_loss, {"reconstruction_loss": reconstruction_loss}, latent)
        assert isinstance(noise, Tensor)
        share = noise[:, None, None]
        mixed = coder.decode(share * latent.z + (1 - share) * _partners(latent.z))
        frozen = {name: weight.detach() for name, weight in self.critic.named_parameters()}
        deception_loss = _scores(functional_call(self.critic, frozen, (mixed,))).square().mean()
        g, seen = self.reconstruction_share, reconstruction.detach()
        critic_loss = (_scores(self.critic(mixed.detach())) - noise).square().mean()
        critic_loss = critic_loss + _scores(self.critic(g * x + (1 - g) * seen)).square().mean()
        loss = reconstruction_loss + coder.penalty_weight * self.mean_scale * self.critic_weight * deception_loss
        terms = {
            "reconstruction_loss": reconstruction_loss,
            "deception_loss": deception_loss,
            "critic_loss": critic_loss,
        }
        return Objective(loss + critic_loss, terms, latent)


def _partners(z: Tensor) -> Tensor:
    """Each code's neighbour, the first's the second and so on in pairs; of an odd batch the last keeps to itself."""
    rows = torch.arange(len(z), device=z.device)
    return z[(rows ^ 1).clamp(max=len(z) - 1)]


def _scores(outputs: dict[str, Tensor]) -> Tensor:
    """(B,) from the critic's outputs (B, M, d)."""
    return outputs["score"].mean((1, 2))
