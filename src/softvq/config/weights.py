"""Weights that follow the image's size and the code's: how the released notebooks' weights read beside other losses.

The notebooks divide squared errors by the pixels' variance and take means over an image's H W C numbers; a code's terms
are means over its M d numbers. The paper's text sums both: SSE / (2 var) is H W C / 2 times MSE / var, and a sum over
the code M d times its mean.
"""

from math import prod

from omegaconf import DictConfig

# Encoders that give a code for each position: half as many positions a side for each of their convolutions.
SPATIAL = ("softvq.networks.conv.ConvSpatialEncoder",)


def mean_weight(weight: float, beside: float = 1, *, _root_: DictConfig) -> float:
    """`${mean_weight:W}`: W of a mean over the code beside MSE / var, turned into that of a sum beside SSE / (2 var).

    Args:
        weight: W.
        beside: what stands before MSE / var, where that is not 1: `${mean_weight:W,FACTOR}`.
    """
    return weight * image_numbers(_root_=_root_) / (2 * beside * _positions(_root_) * _root_.network.d)


def image_numbers(*, _root_: DictConfig) -> float:
    """`${image_numbers:}`: H W C."""
    return float(prod(_root_.data.image_shape))


def image_pixels(*, _root_: DictConfig) -> float:
    """`${image_pixels:}`: H W."""
    return float(prod(_root_.data.image_shape[:2]))


def _positions(root: DictConfig) -> int:
    """How many codes an image has."""
    encoder = root.network.encoder
    if encoder["_target_"] not in SPATIAL:
        return 1
    patch = 2 ** len(encoder.channels)
    return prod(-(-side // patch) for side in root.data.image_shape[:2])
