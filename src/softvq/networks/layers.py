"""What the networks share: the encoder's interface, Glorot initialisation and the named output activations."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Maps images to what a bottleneck asks for.

    Attributes:
        positions: M, latent vectors an image.
    """

    positions: int

    @abstractmethod
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps pixels (B, H, W, C) to the heads' outputs, name -> (B, M, width)."""


def glorot_uniform(module: nn.Module) -> None:
    """Glorot-uniform weights and zero biases in every layer of `module` (paper, "Training Setup")."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def output_layer(activation: str) -> nn.Module:
    """The decoder's last activation: `sigmoid` for pixels in [0, 1], `linear` for pixels around 0.

    Raises:
        ValueError: for another word.
    """
    layers: dict[str, type[nn.Module]] = {"sigmoid": nn.Sigmoid, "linear": nn.Identity}
    if activation not in layers:
        raise ValueError(f"data.output_activation must be one of {', '.join(layers)}, got {activation!r}")
    return layers[activation]()
