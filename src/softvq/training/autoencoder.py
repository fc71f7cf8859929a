"""The model: encoder, bottleneck and decoder, as a plain module without a trainer."""

import torch
from torch import Tensor, nn

from softvq.bottlenecks.base import Bottleneck, Latent, Noise
from softvq.checks import at_least
from softvq.health import statistics
from softvq.networks.layers import Encoder

Terms = dict[str, Tensor]


class Autoencoder(nn.Module):
    """An encoder, a bottleneck and a decoder.

    The loss is reconstruction + penalty_weight * penalty, unless the bottleneck's method has an objective of its own.

    Args:
        encoder: (B, H, W, C) -> the bottleneck's heads, each (B, M, width).
        bottleneck: heads -> latent.
        decoder: (B, M, d) -> (B, H, W, C).
        reconstruction: loss of a reconstruction against the image.
        penalty_weight: one factor for all of the bottleneck's own weights.
        image_shape: (H, W, C).
        pixel_offset: pixels are uint8 / 255 + pixel_offset.
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
        image_shape: tuple[int, int, int],
        pixel_offset: float,
    ) -> None:
        super().__init__()
        self.encoder, self.bottleneck, self.decoder = encoder, bottleneck, decoder
        self.reconstruction = reconstruction
        at_least("penalty_weight", penalty_weight, 0)
        self.penalty_weight = penalty_weight
        self.image_shape, self.pixel_offset = tuple(image_shape), pixel_offset

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights; float32 without any."""
        return next((parameter.dtype for parameter in self.parameters()), torch.float32)

    @property
    def device(self) -> torch.device:
        """Where the weights are; the processor without any."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    def pixels(self, images: Tensor) -> Tensor:
        """Numbers uint8 / 255 + pixel_offset, in the images' shape and the model's precision.

        Raises:
            ValueError: for images that are not uint8 (B, H, W, C) of the model's shape.
        """
        if images.dtype != torch.uint8:
            raise ValueError(
                f"images must be uint8 with values 0 to 255, got {images.dtype}; the model scales them itself"
            )
        if images.ndim != 4 or tuple(images.shape[1:]) != self.image_shape:
            height, width, channels = self.image_shape
            raise ValueError(
                f"images must have shape (B, {height}, {width}, {channels}), got {tuple(images.shape)}; "
                "the channels come last"
            )
        return images.to(self.dtype).mul_(1 / 255).add_(self.pixel_offset)

    def forward(self, images: Tensor, noise: Noise = None) -> tuple[Tensor, Latent]:
        """The reconstruction and the latent of uint8 images; without noise and in evaluation mode deterministic.

        Shapes: images (B, H, W, C). The reconstruction is (B, H, W, C), in the units of `pixels`.
        """
        latent = self.latent(images, noise)
        return self.decoder(latent.z), latent

    def latent(self, images: Tensor, noise: Noise = None) -> Latent:
        """What the bottleneck makes of uint8 images (B, H, W, C)."""
        return self.bottleneck(self.encoder(self.pixels(images)), noise)

    def encode(self, images: Tensor) -> Tensor:
        """The noiseless code z_e (B, M, d) of uint8 images (B, H, W, C)."""
        return self.latent(images).taps["z_e"]

    def encode_pixels(self, x: Tensor) -> dict[str, Tensor]:
        """The heads' outputs, each (B, M, width), of pixels (B, H, W, C)."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Pixels (B, H, W, C) of latents (B, M, d)."""
        return self.decoder(z)

    def reconstruction_loss(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        """The loss () of a reconstruction of pixels; both (B, H, W, C)."""
        return self.reconstruction(reconstruction, x)

    def loss(self, images: Tensor, noise: Noise = None, labels: Tensor | None = None) -> tuple[Terms, Terms]:
        """The loss with its unweighted terms, each (), and the sums over the batch that the health panel is made of.

        Shapes: images uint8 (B, H, W, C); noise as the bottleneck draws it; labels (B,).
        """
        objective = self.bottleneck.objective(self, self.pixels(images), noise, labels)
        terms = {"loss": objective.loss, **objective.terms}
        return terms, statistics(objective.latent, self.bottleneck.codewords)
