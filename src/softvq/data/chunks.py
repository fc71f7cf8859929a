"""Chunks of consecutive training steps: which images each step sees, and where a chunk ends."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import lightning as L
import torch
from torch import Tensor

from softvq.data.schedule import ReplicaSchedule, Schedule

MAX_CHUNK_STEPS = 100
MAX_CHUNK_BYTES = 2**27
LEAST_BYTES = 2**10  # of an image: its noise and its indices, too, lie there for all steps of a chunk
CHUNK_SECONDS = 0.25


class StepIndices(NamedTuple):
    """Which training images several consecutive steps see: what a `ChunkLoader` yields.

    Attributes:
        first_step: number of the first step, counted from 0.
        indices: int64 (steps, B), or (steps, S, B) of S replicas; into the images that are trained on.
    """

    first_step: int
    indices: Tensor


class Chunk(NamedTuple):
    """What several consecutive training steps see: what a model is trained with.

    Attributes:
        first_step: number of the first step, counted from 0.
        images: uint8 (steps, B, H, W, C), or (steps, S, B, H, W, C) of S replicas.
        labels: int64 (steps, B) or (steps, S, B); None where the data have none.
    """

    first_step: int
    images: Tensor
    labels: Tensor | None = None


class ChunkLoader:
    """Chunks of steps from the trainer's current step to the next validation or the last step.

    A chunk ends where a row is logged. Within that, chunks grow until one takes a quarter of a second: Lightning's
    own work, a fixed cost a chunk, becomes small, and checkpoints and the progress bar stay timely. How the steps
    are cut into chunks has no influence on them.

    Args:
        schedule: what images a step sees: of one run, or of replicas.
        trainer: asked for the current step, the last one and this process's rank.
        log_every_n_steps: steps between two rows of the training curve.
        val_every_n_steps: steps between two validations, 0 for none.
        image_bytes: of one image.
    """

    def __init__(
        self,
        schedule: Schedule | ReplicaSchedule,
        trainer: L.Trainer,
        log_every_n_steps: int,
        val_every_n_steps: int,
        image_bytes: int,
    ) -> None:
        if schedule.batch_size % trainer.world_size:
            raise ValueError(
                f"data.batch_size is {schedule.batch_size}, which {trainer.world_size} devices cannot share; "
                f"set a multiple of {trainer.world_size}"
            )
        self.schedule, self.trainer = schedule, trainer
        self.log_every, self.val_every = log_every_n_steps, val_every_n_steps
        fitting = MAX_CHUNK_BYTES // (schedule.images_per_step * max(image_bytes, LEAST_BYTES))
        # One step at a time over several devices: gradients are averaged once for each call of the model.
        self.limit = 1 if trainer.world_size > 1 else max(1, min(MAX_CHUNK_STEPS, fitting))
        share = schedule.batch_size // trainer.world_size
        self.rows = slice(trainer.global_rank * share, (trainer.global_rank + 1) * share)

    def __iter__(self) -> Iterator[StepIndices]:
        step, last = self.trainer.global_step, self.trainer.max_steps
        if self.val_every:
            last = min(last, (step // self.val_every + 1) * self.val_every)
        steps = 1
        while step < last:
            stop = min(step + steps, (step // self.log_every + 1) * self.log_every, last)
            started = time.perf_counter()
            yield StepIndices(step, torch.stack([self.schedule.batch(s)[..., self.rows] for s in range(step, stop)]))
            if time.perf_counter() - started < CHUNK_SECONDS / 2:
                steps = min(2 * steps, self.limit)
            elif time.perf_counter() - started > 2 * CHUNK_SECONDS:
                steps = max(1, steps // 2)
            step = stop
