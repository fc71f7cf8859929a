"""No network: the pixels themselves are the code."""

import math

from torch import Tensor, nn

from softvq.networks.layers import Encoder


class PixelEncoder(Encoder):
    """Hands the pixels on as z_e: the row "raw data" of the paper's Table 1.

    Shapes: x (B, H, W, C). Returns z_e (B, 1, H * W * C).

    Raises:
        ValueError: if the bottleneck asks for more than z_e, which pixels cannot give.
    """

    positions = 1

    def __init__(self, image_shape: tuple[int, int, int], heads: dict[str, int]) -> None:
        super().__init__()
        if set(heads) != {"z_e"}:
            raise ValueError(f"network=pixels has no heads {sorted(set(heads) - {'z_e'})}; it is for bottleneck=raw")
        self.d = math.prod(image_shape)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"z_e": x.flatten(1).unsqueeze(1)}


class PixelDecoder(nn.Module):
    """Hands the pixels back.

    Shapes: z (B, 1, H * W * C). Returns (B, H, W, C).
    """

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)

    def forward(self, z: Tensor) -> Tensor:
        return z.flatten(1).unflatten(1, self.image_shape)
