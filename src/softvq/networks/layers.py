"""What the networks share: Glorot initialisation and the named output activations."""

from torch import nn


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
