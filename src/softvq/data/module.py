"""The LightningDataModule: a prepared data set, cut into batches by index from its memory-mapped arrays."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from softvq.checks import at_least
from softvq.data.chunks import Chunk, ChunkLoader, StepIndices
from softvq.data.content import IMAGES, Chosen, blocks, count_pixels
from softvq.data.dataset import ImageArrays
from softvq.data.prepared import prepare, prepared_info
from softvq.data.schedule import ReplicaSchedule, Schedule
from softvq.data.source import Source, path_setting
from softvq.machine import memory
from softvq.randomness import Stream, generator

log = logging.getLogger(__name__)


class ImageBatches:
    """Images in order, uint8 (B, H, W, C) at a time; the last batch may be smaller.

    Args:
        images: (N, H, W, C).
        batch_size: B.
        indices: which images; None for all.
    """

    def __init__(self, images: np.ndarray, batch_size: int, indices: np.ndarray | None = None) -> None:
        self.images, self.batch_size = images, batch_size
        self.indices = np.arange(len(images)) if indices is None else indices

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, len(self.indices), self.batch_size):
            yield torch.from_numpy(self.images[self.indices[start : start + self.batch_size]])


class ReplicaBatches:
    """Each replica's next batch, stacked: uint8 (S, B, H, W, C). All have as many images."""

    def __init__(self, members: Sequence[ImageBatches]) -> None:
        self.members = members

    def __len__(self) -> int:
        return len(self.members[0])

    def __iter__(self) -> Iterator[Tensor]:
        for batches in zip(*self.members, strict=True):
            yield torch.stack(batches)


class ImageData(L.LightningDataModule):
    """A data set of images as uint8 arrays: training chunks by index, plain batches for everything else.

    Args:
        name: label of the data in results.
        source: where the images come from.
        root: folder under which sources and prepared arrays lie.
        batch_size: images a training step, over all devices.
        eval_batch_size: images at a time when nothing is trained.
        val_fraction: part of the training images set aside for choices; the test images never serve for them.
        seed: of the shuffling and of the part set aside.
        log_every_n_steps: where training chunks end.
        val_every_n_steps: steps between validations.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        root: str,
        batch_size: int,
        eval_batch_size: int,
        val_fraction: float,
        seed: int,
        log_every_n_steps: int,
        val_every_n_steps: int,
    ) -> None:
        super().__init__()
        at_least("data.batch_size", batch_size, 1, whole=True)
        at_least("data.eval_batch_size", eval_batch_size, 1, whole=True)
        at_least("data.val_fraction", val_fraction, 0)
        if val_fraction >= 1:
            raise ValueError(f"data.val_fraction must be at least 0 and below 1, got {val_fraction}")
        self.name, self.source, self.root = name, source, path_setting("data.root", root)
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.val_fraction, self.seed = val_fraction, seed
        self.log_every_n_steps, self.val_every_n_steps = log_every_n_steps, val_every_n_steps
        self._stored: dict[torch.device, Tensor | None] = {}

    def prepare_data(self) -> None:
        if not hasattr(self, "arrays"):
            prepare(self.source, self.root)

    def setup(self, stage: str | None = None) -> None:
        if hasattr(self, "arrays"):
            return
        arrays = prepare(self.source, self.root)
        self.check(arrays.info.image_shape)
        self.train_indices, self.val_indices = self._split(len(arrays.train_images))
        self.arrays: ImageArrays = self._as_trained_on(arrays)
        labels = self.arrays.train_labels
        self._train_labels = None if labels is None else torch.from_numpy(labels)
        for message in self.arrays.info.warnings():
            log.warning(message)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Refuses sizes that do not fit the images or the machine, as far as they show before any image is read.

        Raises: ValueError: if the pixels of a step, in training 4 bytes each, would fill the memory, or `val_fraction`
            leaves one side of a set that is prepared without images.
        """
        needed = 4 * self.batch_size * math.prod(image_shape)
        if needed > memory():
            raise ValueError(
                f"data.batch_size={self.batch_size} needs {needed / 1e9:,.1f} GB for the images of one step, and this "
                f"machine has {memory() / 1e9:,.1f} GB; set a smaller one"
            )
        if info := prepared_info(self.source, self.root):
            self._held_out(info.train_size)

    def _as_trained_on(self, arrays: ImageArrays) -> ImageArrays:
        """The arrays with what is known of the images that are trained on: those set aside decide nothing."""
        if not len(self.val_indices):
            return arrays
        info, labels = arrays.info, arrays.train_labels
        aside = sum(count_pixels(part) for part in blocks(Chosen(arrays.train_images, self.val_indices), IMAGES))
        seen = np.zeros(0, dtype=np.int64) if labels is None else labels[self.train_indices]
        trained_on = replace(
            info,
            pixel_counts=tuple((np.array(info.pixel_counts) - aside).tolist()),
            train_per_class=tuple(np.bincount(seen, minlength=info.classes).tolist()),
        )
        return replace(arrays, info=trained_on)

    def _held_out(self, size: int) -> int:
        """How many of the training images are set aside."""
        held_out = round(self.val_fraction * size)
        if self.val_fraction and not 0 < held_out < size:
            raise ValueError(
                f"data.val_fraction={self.val_fraction} sets {held_out} of {size} training images aside; "
                "set one that leaves images on both sides"
            )
        return held_out

    def _split(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        held_out = self._held_out(size)
        if not held_out:
            return np.arange(size), np.arange(0)
        shuffled = torch.randperm(size, generator=generator(self.seed, Stream.SPLIT)).numpy()
        return np.sort(shuffled[held_out:]), np.sort(shuffled[:held_out])

    def probed_arrays(self, part: str) -> ImageArrays:
        """The arrays that the probes read: what was trained on and, as `test_*`, the part whose scores count.

        Raises:
            ValueError: for a part other than `test` and `validation`, or for a validation part without images.
        """
        if part == "test":
            return self.arrays
        if part != "validation":
            raise ValueError(f"probes.part must be test or validation, got {part!r}")
        if not len(self.val_indices):
            raise ValueError("probes.part=validation needs images set aside; set data.val_fraction, e.g. to 0.1")
        images, labels = self.arrays.train_images, self.arrays.train_labels
        return replace(
            self.arrays,
            train_images=images[self.train_indices],
            train_labels=None if labels is None else labels[self.train_indices],
            test_images=images[self.val_indices],
            test_labels=None if labels is None else labels[self.val_indices],
        )

    def schedule(self) -> Schedule:
        """What part of `train_indices` each step sees."""
        return Schedule(len(self.train_indices), self.batch_size, self.seed)

    def train_dataloader(self) -> ChunkLoader:
        assert self.trainer is not None
        return self.chunks(self.schedule(), self.trainer)

    def chunks(self, schedule: Schedule | ReplicaSchedule, trainer: L.Trainer) -> ChunkLoader:
        """A schedule's chunks, which end where a row is logged or validation is due."""
        val_every_n_steps = self.val_every_n_steps if len(self.val_indices) else 0
        image_bytes = self.arrays.train_images[0].nbytes
        return ChunkLoader(schedule, trainer, self.log_every_n_steps, val_every_n_steps, image_bytes)

    def val_dataloader(self) -> ImageBatches:
        return ImageBatches(self.arrays.train_images, self.eval_batch_size, self.val_indices)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if not isinstance(batch, StepIndices):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        return self.cut_out(batch.first_step, torch.from_numpy(self.train_indices)[batch.indices], device)

    def cut_out(self, first_step: int, indices: Tensor, device: torch.device) -> Chunk:
        """The chunk of steps that see these images of the training set.

        Shapes: indices (steps, B) or (steps, S, B), into all of the training set.
        """
        labels = None if self._train_labels is None else self._train_labels[indices].to(device, non_blocking=True)
        if device not in self._stored:
            self._stored[device] = _whole_set(self.arrays.train_images, device)
        stored = self._stored[device]
        if stored is None:
            images = torch.from_numpy(self.arrays.train_images[indices.numpy()]).to(device, non_blocking=True)
        else:
            images = stored[indices.to(device, non_blocking=True)]
        return Chunk(first_step, images, labels)


def _whole_set(images: np.ndarray, device: torch.device) -> Tensor | None:
    """All images on an accelerator that has room for them; None if each chunk's are to be cut out in main memory."""
    if device.type == "cpu" or (device.type == "cuda" and images.nbytes > torch.cuda.mem_get_info(device)[0] // 2):
        return None
    return torch.from_numpy(np.array(images)).to(device)


class ReplicaData(L.LightningDataModule):
    """The data of S runs that differ in their seeds alone: at each step, what each of them would see.

    Args:
        members: the data of each.
    """

    def __init__(self, members: Sequence[ImageData]) -> None:
        super().__init__()
        self.members = members

    def train_dataloader(self) -> ChunkLoader:
        assert self.trainer is not None
        schedule = ReplicaSchedule([member.schedule() for member in self.members])
        return self.members[0].chunks(schedule, self.trainer)

    def val_dataloader(self) -> ReplicaBatches:
        return ReplicaBatches([member.val_dataloader() for member in self.members])

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if not isinstance(batch, StepIndices):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        split = [torch.from_numpy(member.train_indices) for member in self.members]
        indices = [own[theirs] for own, theirs in zip(split, batch.indices.unbind(1), strict=True)]
        return self.members[0].cut_out(batch.first_step, torch.stack(indices, dim=1), device)
