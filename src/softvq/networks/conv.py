"""Convolutional networks: the paper's for SVHN and CIFAR-10, with a dense code or one code a position."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from softvq.checks import at_least
from softvq.networks.layers import Encoder, glorot_uniform, output_layer

PADDINGS = ("symmetric", "same")
FEW_POSITIONS = 4


def layer_sizes(image_shape: tuple[int, int, int], layers: int) -> list[tuple[int, int]]:
    """Height and width before the first and after each of `layers` stride-2 convolutions (halved, rounded up).

    Raises:
        ValueError: if the image is too small to be halved `layers` times.
    """
    height, width = image_shape[:2]
    if min(height, width) < 2**layers:
        raise ValueError(
            f"{layers} convolutions halve the image as often and need at least {2**layers} x {2**layers} pixels, "
            f"got {height} x {width}; use network=conv_small or mlp, or fewer network.encoder.channels and "
            "network.decoder.channels"
        )
    sizes = [(height, width)]
    for _ in range(layers):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


def _before(size: int, padding: str) -> int:
    """Zeros before the first pixel: 1, except that TensorFlow's `same` puts its one zero after an even size."""
    return 0 if padding == "same" and size % 2 == 0 else 1


def _check_padding(padding: str) -> None:
    if padding not in PADDINGS:
        raise ValueError(f"network.padding must be one of {', '.join(PADDINGS)}, got {padding!r}")


def as_one_product(positions: int, x: Tensor) -> bool:
    """Whether a layer from or to so few positions an image is faster as one matrix product over the batch.

    The gradient of a convolution's weights visits all of them once an image. What is exported needs no gradient, and
    other programs know a convolution better than its parts.
    """
    return positions <= FEW_POSITIONS and x.device.type == "cpu" and not torch.compiler.is_exporting()


class Convolution(nn.Conv2d):
    """A 3x3 convolution with stride 2; where it ends in few positions, on a CPU, one matrix product.

    Shapes: x (B, C, H, W). Returns (B, channels_out, (H + 2 * padding - 1) // 2, (W + 2 * padding - 1) // 2).
    """

    def __init__(self, channels_in: int, channels_out: int, padding: int) -> None:
        super().__init__(channels_in, channels_out, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        padding = int(self.padding[0])
        height, width = ((size + 2 * padding - 3) // 2 + 1 for size in x.shape[2:])
        if not as_one_product(height * width, x):
            return super().forward(x)
        windows = functional.unfold(x, 3, padding=padding, stride=2)  # (B, channels_in * 9, positions)
        y = functional.linear(windows.transpose(1, 2), self.weight.flatten(1), self.bias)
        return y.unflatten(1, (height, width)).permute(0, 3, 1, 2)


class TransposedConvolution(nn.ConvTranspose2d):
    """The transpose of `Convolution`.

    Shapes: x (B, C, H, W). Returns (B, channels_out, 2 * H + 1 - 2 * padding + output_padding, the same of W).
    """

    def __init__(self, channels_in: int, channels_out: int, padding: int, output_padding: tuple[int, int]) -> None:
        super().__init__(channels_in, channels_out, 3, stride=2, padding=padding, output_padding=output_padding)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # torch's can be asked for another size
        if not as_one_product(x.shape[2] * x.shape[3], x):
            return super().forward(x)
        padding = int(self.padding[0])
        more = self.output_padding
        height, width = (2 * x.shape[axis] + 1 - 2 * padding + int(more[axis - 2]) for axis in (2, 3))
        windows = x.flatten(2).transpose(1, 2) @ self.weight.flatten(1)  # (B, positions, channels_out * 9)
        y = functional.fold(windows.transpose(1, 2), (height, width), 3, padding=padding, stride=2)
        assert self.bias is not None
        return y + self.bias[:, None, None]


class Halve(nn.Module):
    """A 3x3 convolution with stride 2 from `size` to half of it, rounded up."""

    def __init__(self, channels_in: int, channels_out: int, size: tuple[int, int], padding: str) -> None:
        super().__init__()
        top, left = _before(size[0], padding), _before(size[1], padding)
        # Zeros after the last pixel, enough for ceil(size / 2) windows; F.pad wants (left, right, top, bottom).
        bottom = 2 * ((size[0] + 1) // 2) + 1 - size[0] - top
        right = 2 * ((size[1] + 1) // 2) + 1 - size[1] - left
        # A convolution pads equally on both sides by itself, and faster; a surplus zero after is never read.
        self.pad = None if top == left == 1 else (left, right, top, bottom)
        self.conv = Convolution(channels_in, channels_out, padding=1 if self.pad is None else 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x if self.pad is None else functional.pad(x, self.pad))


class Double(nn.Module):
    """The transpose of `Halve`: a 3x3 transposed convolution with stride 2 up to `size`."""

    def __init__(self, channels_in: int, channels_out: int, size: tuple[int, int], padding: str) -> None:
        super().__init__()
        self.size = size
        self.top, self.left = _before(size[0], padding), _before(size[1], padding)
        self.symmetric = self.top == self.left == 1
        output_padding = ((size[0] + 1) % 2, (size[1] + 1) % 2) if self.symmetric else (0, 0)
        self.conv = TransposedConvolution(channels_in, channels_out, int(self.symmetric), output_padding)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.symmetric:
            return y
        return y[..., self.top : self.top + self.size[0], self.left : self.left + self.size[1]]


class ConvBody(nn.Module):
    """Stride-2 3x3 convolutions, 64-128-256-512 channels, each followed by a ReLU.

    Shapes: x (B, H, W, C). Returns (B, channels[-1], H / 16, W / 16) for four layers.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels: list[int],
        padding: str,
        joint_init: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        _check_padding(padding)
        self.sizes = layer_sizes(image_shape, len(channels))
        widths = [image_shape[2], *channels]
        halves = [Halve(widths[i], widths[i + 1], size, padding) for i, size in enumerate(self.sizes[:-1])]
        self.layers = nn.Sequential(*(layer for half in halves for layer in (half, nn.ReLU(inplace=True))))
        glorot_uniform(self)
        joint_init(halves[-1].conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        # (B, H, W, C) seen as (B, C, H, W) is channels-last in memory, the fast layout, without a copy.
        return self.layers(x.permute(0, 3, 1, 2))


class ConvTail(nn.Module):
    """Stride-2 3x3 transposed convolutions back to the image, 512-256-128-C channels, ReLU between them.

    Shapes: h (B, channels_in, H / 16, W / 16) for three `channels`. Returns (B, H, W, C).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels_in: int,
        channels: list[int],
        padding: str,
        joint_init: Callable[[Tensor], Tensor],
        output_activation: str,
    ) -> None:
        super().__init__()
        _check_padding(padding)
        widths = [channels_in, *channels, image_shape[2]]
        self.sizes = layer_sizes(image_shape, len(widths) - 1)[::-1]
        doubles = [Double(widths[i], widths[i + 1], size, padding) for i, size in enumerate(self.sizes[1:])]
        layers = [layer for double in doubles for layer in (double, nn.ReLU(inplace=True))]
        self.layers = nn.Sequential(*layers[:-1], output_layer(output_activation))
        glorot_uniform(self)
        joint_init(doubles[0].conv.weight)

    def forward(self, h: Tensor) -> Tensor:
        return self.layers(h).permute(0, 2, 3, 1)


class ConvEncoder(Encoder):
    """Convolutions, then one dense head for each output that the bottleneck asks for: one code an image.

    Shapes: x (B, H, W, C). Returns name -> (B, 1, width).
    Reference: Wu & Flierl (2019), "Training Setup"; the dense code is the released SVHN notebook's.
    """

    positions = 1

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        heads: dict[str, int],
        channels: list[int],
        padding: str,
        joint_init: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.body = ConvBody(image_shape, channels, padding, joint_init)
        height, width = self.body.sizes[-1]
        features = channels[-1] * height * width
        self.heads = nn.ModuleDict({name: nn.Linear(features, size) for name, size in heads.items()})
        glorot_uniform(self.heads)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.body(x).flatten(1)
        return {name: head(h).unsqueeze(1) for name, head in self.heads.items()}


class ConvDecoder(nn.Module):
    """A dense layer with a ReLU, then transposed convolutions: the mirror of `ConvEncoder`.

    Shapes: z (B, 1, d). Returns (B, H, W, C).
    Reference: the released SVHN notebook: Dense(2048), then 512-256-128-3.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        d: int,
        channels: list[int],
        padding: str,
        joint_init: Callable[[Tensor], Tensor],
        output_activation: str,
    ) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        self.tail = ConvTail(image_shape, channels[0], channels, padding, joint_init, output_activation)
        self.start = (channels[0], *self.tail.sizes[0])
        self.dense = nn.Linear(d, self.start[0] * self.start[1] * self.start[2])
        glorot_uniform(self.dense)

    def forward(self, z: Tensor) -> Tensor:
        return self.tail(self.dense(z.flatten(1)).relu().unflatten(1, self.start))


class ConvSpatialEncoder(Encoder):
    """Convolutions, then a 3x3 convolution as head: one code of width d for each of the last layer's positions.

    Shapes: x (B, H, W, C). Returns name -> (B, M, width), M = 4 for 32 x 32 images.
    Reference: the released SVHN notebook's commented-out VAE, information dropout and VQ-VAE.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        heads: dict[str, int],
        channels: list[int],
        padding: str,
        joint_init: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.body = ConvBody(image_shape, channels, padding, joint_init)
        height, width = self.body.sizes[-1]
        self.positions = height * width
        self.heads = nn.ModuleDict({name: nn.Conv2d(channels[-1], size, 3, padding=1) for name, size in heads.items()})
        glorot_uniform(self.heads)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.body(x)
        return {name: head(h).flatten(2).transpose(1, 2) for name, head in self.heads.items()}


class ConvSpatialDecoder(nn.Module):
    """Transposed convolutions straight from the grid of codes.

    Shapes: z (B, M, d). Returns (B, H, W, C).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        d: int,
        channels: list[int],
        padding: str,
        joint_init: Callable[[Tensor], Tensor],
        output_activation: str,
    ) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        self.tail = ConvTail(image_shape, d, channels, padding, joint_init, output_activation)
        self.grid = self.tail.sizes[0]

    def forward(self, z: Tensor) -> Tensor:
        return self.tail(z.transpose(1, 2).unflatten(2, self.grid))
