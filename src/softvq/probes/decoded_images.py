"""What a model makes of images and of codes: reconstructions, paths between images, prior samples, codewords."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from softvq.randomness import Stream, generator
from softvq.training.autoencoder import Autoencoder


@torch.inference_mode()
def reconstructed(model: Autoencoder, images: np.ndarray) -> np.ndarray:
    """What the decoder makes of uint8 images: (n, H, W, C) in [0, 1]."""
    reconstruction, _ = model.eval()(_on_device(model, images))
    return _shown(model, reconstruction)


@torch.inference_mode()
def paths(model: Autoencoder, images: np.ndarray, steps: int) -> list[np.ndarray]:
    """Decoded straight paths from each image to the next one, in pairs.

    What the encoder gives for the two ends is mixed and goes through the bottleneck, so that a quantizer's path jumps
    where its codeword changes.

    Shapes: images uint8 (2 n, H, W, C). Returns n arrays (steps, H, W, C) in [0, 1], both ends' reconstructions
    included.
    """
    heads = model.eval().encode_pixels(model.pixels(_on_device(model, images)))
    found = []
    for start in range(0, len(images), 2):
        mixed = {}
        for name, head in heads.items():
            share = torch.linspace(0, 1, steps, dtype=head.dtype, device=head.device).view(-1, *[1] * (head.ndim - 1))
            mixed[name] = torch.lerp(head[start : start + 1], head[start + 1 : start + 2], share)
        found.append(_shown(model, model.decode(model.bottleneck(mixed, None).z)))
    return found


@torch.inference_mode()
def prior_samples(model: Autoencoder, count: int, seed: int) -> np.ndarray | None:
    """Decoded draws from the method's prior, (count, H, W, C) in [0, 1]; None for a method without one."""
    drawn = model.eval().bottleneck.sample_prior(count, model.encoder.positions, generator(seed, Stream.PRIOR))
    return None if drawn is None else _shown(model, model.decode(drawn.to(model.device, model.dtype)))


@torch.inference_mode()
def decoded_codewords(model: Autoencoder, which: Sequence[int]) -> np.ndarray | None:
    """Codewords decoded, each at all positions of an image: (n, H, W, C) in [0, 1]; None without a codebook."""
    codewords = model.eval().bottleneck.codewords
    if codewords is None:
        return None
    chosen = codewords[torch.as_tensor(which, device=codewords.device)]  # (n, d)
    return _shown(model, model.decode(chosen[:, None].expand(-1, model.encoder.positions, -1)))


def _on_device(model: Autoencoder, images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(images)).to(model.device)


def _shown(model: Autoencoder, pixels: Tensor) -> np.ndarray:
    return (pixels.float() - model.pixel_offset).clamp(0, 1).cpu().numpy()
