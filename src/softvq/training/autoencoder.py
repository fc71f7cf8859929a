"""The LightningModule: encoder, bottleneck and decoder, trained in chunks of steps."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from softvq.bottlenecks.base import Bottleneck, Latent
from softvq.checks import at_least
from softvq.networks.layers import Encoder
from softvq.randomness import Stream, generator
from softvq.training.module import ChunkTraining, Curve


class Autoencoder(ChunkTraining):
    """An encoder, a bottleneck and a decoder.

    The loss is reconstruction + penalty_weight * penalty.

    Args:
        encoder: (B, H, W, C) -> the bottleneck's heads, each (B, M, width).
        bottleneck: heads -> latent.
        decoder: (B, M, d) -> (B, H, W, C).
        reconstruction: loss of a reconstruction against the image.
        penalty_weight: one factor for all of the bottleneck's own weights.
        optimizer: makes the optimiser from the parameters.
        pixel_offset: pixels are uint8 / 255 + pixel_offset.
        seed: of the noise.
        log_every_n_steps: steps whose mean is one row of the training curve.
    """

    encoder: Encoder
    bottleneck: Bottleneck

    def __init__(
        self,
        encoder: Encoder,
        bottleneck: Bottleneck,
        decoder: nn.Module,
        reconstruction: nn.Module,
        penalty_weight: float,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        pixel_offset: float,
        seed: int,
        log_every_n_steps: int,
    ) -> None:
        super().__init__(optimizer, log_every_n_steps)
        self.encoder, self.bottleneck, self.decoder = encoder, bottleneck, decoder
        self.reconstruction = reconstruction
        at_least("penalty_weight", penalty_weight, 0)
        self.penalty_weight = penalty_weight
        self.pixel_offset, self.seed = pixel_offset, seed
        self.curve = Curve()

    def pixels(self, images: Tensor) -> Tensor:
        """Numbers uint8 / 255 + pixel_offset, in the images' shape and the model's precision."""
        return images.to(self.dtype).mul_(1 / 255).add_(self.pixel_offset)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Latent]:
        """The reconstruction and the latent of uint8 images; without noise, deterministic.

        Shapes: images (B, H, W, C). The reconstruction is (B, H, W, C), in the units of `pixels`.
        """
        latent = self.bottleneck(self.encoder(self.pixels(images)), noise)
        return self.decoder(latent.z), latent

    def loss(self, images: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """The loss and its unweighted terms, each ().

        Shapes: images uint8 (B, H, W, C); noise as the bottleneck draws it.
        """
        x = self.pixels(images)
        latent = self.bottleneck(self.encoder(x), noise)
        reconstruction_loss = self.reconstruction(self.decoder(latent.z), x)
        return {
            "loss": reconstruction_loss + self.penalty_weight * latent.penalty,
            "reconstruction_loss": reconstruction_loss,
            **latent.terms,
        }

    def noise_of(self, step: int, batch: int) -> Tensor | None:
        """One step's noise for a batch of so many images, as the bottleneck draws it: a function of (seed, step)."""
        return self.bottleneck.draw_noise(batch, self.encoder.positions, generator(self.seed, Stream.NOISE, step))

    def draw_noise(self, first_step: int, images: Tensor) -> list[Tensor | None]:
        """Each step's noise on the images' device: drawn for the whole batch, cut to this process's rows."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self._trainer else (0, 1)
        share = images.shape[1]
        noises: list[Tensor | None] = []
        for step in range(first_step, first_step + len(images)):
            drawn = self.noise_of(step, share * world)
            noises.append(drawn if drawn is None else drawn[rank * share : (rank + 1) * share])
        some = [noise for noise in noises if noise is not None]
        return list(torch.stack(some).to(images.device, non_blocking=True).type(self.dtype)) if some else noises

    def record(self, first_step: int, values: Tensor) -> None:
        values = self.trainer.strategy.reduce(values, reduce_op="mean")  # over devices, whose shares are alike in size
        rows = values.tolist()  # the one wait for the device in a chunk
        self.curve.add(first_step, self.term_names, rows)
        self.log("loss", rows[-1][0], prog_bar=True, logger=False)
        step = first_step + len(rows)
        if self.ends_row(step):
            means = self.curve.row()
            for logger in self.loggers:
                logger.log_metrics(means, step=step)

    def validation_step(self, images: Tensor, batch_idx: int) -> None:
        terms = {f"val/{name}": term for name, term in self.loss(images).items()}
        # Lightning counts chunks; a metric of this name gives the row its step.
        terms["step"] = torch.tensor(float(self.trainer.global_step))
        self.log_dict(terms, batch_size=len(images), on_epoch=True, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["curve"] = self.curve.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.curve = Curve(*checkpoint["curve"])
