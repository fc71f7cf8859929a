"""What a source of images promises: a cheap state of its files, and their content, checked."""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


class DataError(ValueError):
    """Image data that is missing, damaged or not what its settings say."""


class SlicedImages(Protocol):
    """uint8 images (N, H, W, C) that need not be in memory at once."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""

    def __getitem__(self, images: slice, /) -> np.ndarray:
        """The images of a slice (n, H, W, C)."""


@dataclass(frozen=True)
class RawData:
    """What a source reads; checked here, so that no source can prepare arrays that do not fit together."""

    source: str
    verified: bool | None
    classes: int
    train_images: SlicedImages
    train_labels: np.ndarray
    test_images: SlicedImages
    test_labels: np.ndarray

    def __post_init__(self) -> None:
        for split, images, labels in self.splits():
            if len(images.shape) != 4 or labels.shape != images.shape[:1] or 0 in images.shape:
                raise DataError(
                    f"{self.source}: the {split} set needs at least one image and one label for each image, "
                    f"found images {tuple(images.shape)} and labels {labels.shape}"
                )
            if labels.min() < 0 or labels.max() >= self.classes:
                raise DataError(
                    f"{self.source}: {split} labels must be from 0 to {self.classes - 1}, "
                    f"found {labels.min()} to {labels.max()}"
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(
                f"{self.source}: training and test images must have one shape, "
                f"found {self.train_images.shape[1:]} and {self.test_images.shape[1:]}"
            )

    def splits(self) -> tuple[tuple[str, SlicedImages, np.ndarray], ...]:
        """(split, images, labels) of both parts."""
        return (
            ("train", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        )


class Source(ABC):
    """Where a data set's images come from."""

    verify = True  # False: a copy whose checksum differs is accepted

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise DataError(f"data.name is {name!r}; it names folders: use letters, digits, '.', '_' and '-' only")
        self.name = name

    @abstractmethod
    def settings(self) -> tuple[object, ...]:
        """What tells two sources of one name apart, beside their files' state."""

    @abstractmethod
    def fingerprint(self) -> str | None:
        """State of the files that `load` would read: names, sizes and times, not their content.

        None: they are not here, but `load` may fetch them.
        Raises: DataError: if they are not here and cannot be fetched.
        """

    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C), from the files' headers at most."""

    @abstractmethod
    def load(self) -> RawData:
        """Reads and checks the files, fetching them first where that is possible."""


def file_state(path: Path) -> tuple[int, int]:
    """Size and time of the last change: what tells, cheaply, that a file is still the same."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def fingerprint_of(states: list[tuple[object, ...]]) -> str:
    """One short word for the states of many files."""
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()
