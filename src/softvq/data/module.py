"""The LightningDataModule: a prepared data set, cut into batches by index from its memory-mapped arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from softvq.data.chunks import Chunk, ChunkLoader, StepIndices
from softvq.data.dataset import ImageArrays
from softvq.data.prepared import prepare
from softvq.data.schedule import ReplicaSchedule, Schedule
from softvq.data.source import Source
from softvq.randomness import Stream, generator


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
        if not 0 <= val_fraction < 1:
            raise ValueError(f"data.val_fraction must be at least 0 and below 1, got {val_fraction}")
        self.name, self.source, self.root = name, source, Path(root)
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.val_fraction, self.seed = val_fraction, seed
        self.log_every_n_steps, self.val_every_n_steps = log_every_n_steps, val_every_n_steps
        self._device_images: Tensor | None = None

    def prepare_data(self) -> None:
        prepare(self.source, self.root)

    def setup(self, stage: str | None = None) -> None:
        self.arrays: ImageArrays = prepare(self.source, self.root)
        self._train_labels = torch.from_numpy(self.arrays.train_labels)
        self.train_indices, self.val_indices = self._split(len(self.arrays.train_images))

    def _split(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        held_out = round(self.val_fraction * size)
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
            train_labels=labels[self.train_indices],
            test_images=images[self.val_indices],
            test_labels=labels[self.val_indices],
        )

    def schedule(self) -> Schedule:
        """What part of `train_indices` each step sees."""
        return Schedule(len(self.train_indices), self.batch_size, self.seed)

    def train_dataloader(self) -> ChunkLoader:
        assert self.trainer is not None
        return self.chunks(self.schedule(), self.trainer)

    def chunks(self, schedule: Schedule | ReplicaSchedule, trainer: L.Trainer) -> ChunkLoader:
        """A schedule's chunks, which end where a row is logged or validation is due."""
        return ChunkLoader(
            schedule, trainer, self.log_every_n_steps, self.val_every_n_steps if len(self.val_indices) else 0
        )

    def val_dataloader(self) -> ImageBatches:
        return ImageBatches(self.arrays.train_images, self.eval_batch_size, self.val_indices)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if not isinstance(batch, StepIndices):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        return self.cut_out(batch.first_step, torch.from_numpy(self.train_indices)[batch.indices], device)

    def cut_out(self, first_step: int, indices: Tensor, device: torch.device) -> Chunk:
        """The chunk of steps that see these images of the training set; on an accelerator the whole set lives there.

        Shapes: indices (steps, B) or (steps, S, B), into all of the training set.
        """
        labels = self._train_labels[indices].to(device, non_blocking=True)
        if device.type == "cpu":
            return Chunk(first_step, torch.from_numpy(self.arrays.train_images[indices.numpy()]), labels)
        if self._device_images is None or self._device_images.device != device:
            self._device_images = torch.from_numpy(np.array(self.arrays.train_images)).to(device)
        return Chunk(first_step, self._device_images[indices.to(device, non_blocking=True)], labels)


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
