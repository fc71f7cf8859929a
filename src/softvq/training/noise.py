"""The noise of a training step: a function of (seed, step) alone, on whatever device and in whatever precision."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from softvq.bottlenecks.base import Noise
from softvq.randomness import Stream, generator
from softvq.training.autoencoder import Autoencoder


def draw(model: Autoencoder, seed: int, step: int, batch: int) -> Noise:
    """The noise of a model's bottleneck for a whole batch, in float32 on the processor.

    Args:
        model: that is trained.
        seed: of its run.
        step: optimiser step, from 0.
        batch: images in the batch, over all devices.
    """
    with _default_dtype(torch.float32):  # Lightning's is the model's precision
        return model.bottleneck.draw_noise(batch, model.encoder.positions, generator(seed, Stream.NOISE, step))


def on_device(drawn: Sequence[Noise], rows: slice, device: torch.device, dtype: torch.dtype | str) -> Noise:
    """The members' noise as one, cut to some rows of the batch.

    Args:
        drawn: a noise for each member.
        rows: of the batch.
        device: to compute on.
        dtype: of the model.
    """
    first = drawn[0]
    if first is None:
        return None
    if isinstance(first, dict):
        return {name: on_device([noise[name] for noise in drawn], rows, device, dtype) for name in first}  # type: ignore[index,misc]
    tensors = [noise[rows] for noise in drawn if isinstance(noise, Tensor)]
    return stacked(tensors).to(device, non_blocking=True).type(dtype)


def stacked(parts: Sequence[Tensor]) -> Tensor:
    """The members' tensors along a first axis of length S; a single member's as it is."""
    return parts[0] if len(parts) == 1 else torch.stack(list(parts))


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
