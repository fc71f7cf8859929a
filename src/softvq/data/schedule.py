"""Which images a training step sees: a function of (seed, step) alone."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from softvq.randomness import Stream, generator


class Schedule:
    """Epochs of shuffled images laid end to end and cut into batches; a batch may straddle two epochs.

    Args:
        size: number of training images.
        batch_size: images a step, over all devices.
        seed: the run's seed.
    """

    def __init__(self, size: int, batch_size: int, seed: int) -> None:
        if batch_size < 1:
            raise ValueError(f"data.batch_size must be at least 1, got {batch_size}")
        if size < 1:
            raise ValueError("the training set is empty; lower data.val_fraction or add images")
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.images_per_step = batch_size
        # Two epochs: a batch that straddles them needs both.
        self._epoch = lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> Tensor:
        return torch.randperm(self.size, generator=generator(self.seed, Stream.SHUFFLE, epoch))

    def batch(self, step: int) -> Tensor:
        """Indices (batch_size,) of the images of step `step`, counted from 0."""
        start, stop = step * self.batch_size, (step + 1) * self.batch_size
        parts = []
        while start < stop:
            epoch, offset = divmod(start, self.size)
            taken = min(self.size - offset, stop - start)
            parts.append(self._epoch(epoch)[offset : offset + taken])
            start += taken
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class ReplicaSchedule:
    """The schedules of runs that differ in their seeds alone, side by side."""

    def __init__(self, members: Sequence[Schedule]) -> None:
        self.members = members
        self.batch_size = members[0].batch_size
        self.images_per_step = len(members) * self.batch_size

    def batch(self, step: int) -> Tensor:
        """Indices (S, batch_size) of the images of step `step`, counted from 0."""
        return torch.stack([member.batch(step) for member in self.members])
