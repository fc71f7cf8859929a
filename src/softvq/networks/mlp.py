"""Multilayer perceptrons: the paper's networks for MNIST."""

import itertools
import math

from torch import Tensor, nn

from softvq.checks import at_least
from softvq.networks.layers import Encoder, glorot_uniform, output_layer


def dense_stack(widths: list[int]) -> nn.Sequential:
    """Linear layers between consecutive widths, each followed by a ReLU."""
    layers: list[nn.Module] = []
    for width_in, width_out in itertools.pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class MLPEncoder(Encoder):
    """D-500-500-2000, then one linear head for each output that the bottleneck asks for.

    Shapes: x (B, H, W, C). Returns name -> (B, 1, width).
    Reference: Wu & Flierl (2019), "Training Setup".
    """

    positions = 1

    def __init__(self, image_shape: tuple[int, int, int], heads: dict[str, int], hidden: list[int]) -> None:
        super().__init__()
        widths = [math.prod(image_shape), *hidden]
        self.body = dense_stack(widths)
        self.heads = nn.ModuleDict({name: nn.Linear(widths[-1], width) for name, width in heads.items()})
        glorot_uniform(self)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.body(x.flatten(1))
        return {name: head(h).unsqueeze(1) for name, head in self.heads.items()}


class MLPDecoder(nn.Module):
    """d-2000-500-500-D, the encoder mirrored.

    Shapes: z (B, 1, d). Returns (B, H, W, C).
    Reference: Wu & Flierl (2019), "Training Setup".
    """

    def __init__(self, image_shape: tuple[int, int, int], d: int, hidden: list[int], output_activation: str) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        self.image_shape = tuple(image_shape)
        widths = [d, *hidden]
        self.body = dense_stack(widths)
        self.output = nn.Sequential(nn.Linear(widths[-1], math.prod(image_shape)), output_layer(output_activation))
        glorot_uniform(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.output(self.body(z.flatten(1))).unflatten(1, self.image_shape)
