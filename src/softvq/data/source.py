"""What a source of images promises: a cheap state of its files, and their content, checked."""

import math
import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from softvq.bounded_files import printable

MAX_PIXELS = 2**20  # of an image that is trained on: the largest networks here would have billions of weights


class DataError(ValueError):
    """Image data that is missing, damaged or not what its settings say; one line, whatever a file is called."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class SlicedImages(Protocol):
    """uint8 images (N, H, W, C) that need not be in memory at once."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""

    def __getitem__(self, images: slice, /) -> np.ndarray:
        """The images of a slice (n, H, W, C)."""


@dataclass(frozen=True)
class RawData:
    """What a source reads; checked here, so that no source can prepare arrays that do not fit together.

    Attributes:
        source: where it comes from.
        verified: as in `DatasetInfo`.
        class_names: of the classes in the order of their numbers; none for images without labels.
        train_images: uint8 (N, H, W, C), as `test_images`.
        train_labels: integers (N,), as `test_labels`; both None for images without labels.
        remarks: what was left out or changed in reading, each a few words.
    """

    source: str
    verified: bool | None
    class_names: tuple[str, ...]
    train_images: SlicedImages
    train_labels: np.ndarray | None
    test_images: SlicedImages
    test_labels: np.ndarray | None
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for split, images, labels in self.splits():
            if len(images.shape) != 4 or 0 in images.shape or (labels is not None and labels.shape != images.shape[:1]):
                raise DataError(
                    f"{self.source}: the {split} set needs at least one image and one label for each image, "
                    f"found images {tuple(images.shape)} and labels {None if labels is None else labels.shape}"
                )
            if (labels is None) != (not self.class_names):
                raise DataError(f"{self.source}: labels of both parts and names of the classes belong together")
            if labels is not None and (labels.min() < 0 or labels.max() >= len(self.class_names)):
                raise DataError(
                    f"{self.source}: {split} labels must be from 0 to {len(self.class_names) - 1}, "
                    f"found {labels.min()} to {labels.max()}"
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(
                f"{self.source}: training and test images must have one shape, "
                f"found {self.train_images.shape[1:]} and {self.test_images.shape[1:]}"
            )
        check_pixels(self.source, self.train_images.shape[1:], "make them smaller")

    def splits(self) -> tuple[tuple[str, SlicedImages, np.ndarray | None], ...]:
        """(split, images, labels) of both parts."""
        return (
            ("train", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        )


def check_pixels(where: str, shape: tuple[int, ...], way_out: str) -> None:
    """Refuses images that no network here could take.

    Args:
        where: they lie, for the message.
        shape: (H, W, C).
        way_out: what to do about it.

    Raises: DataError: if an image has more than 2^20 pixels.
    """
    if math.prod(shape[:2]) > MAX_PIXELS:
        raise DataError(
            f"{where}: images of {shape[1]} x {shape[0]} pixels are too large to train on (at most {MAX_PIXELS:,} "
            f"pixels, as 1024 x 1024); {way_out}"
        )


class Source(ABC):
    """Where a data set's images come from."""

    verify = True  # False: a copy whose checksum differs is accepted

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or len(name) > 100:
            raise DataError(
                f"data.name is {name!r}; it names folders: use letters, digits, '.', '_' and '-' only "
                "in a word, e.g. data.name=my-set"
            )
        self.name = name

    @abstractmethod
    def settings(self) -> tuple[object, ...]:
        """What tells two sources of one name apart, beside their files' state."""

    @abstractmethod
    def fingerprint(self) -> str | None:
        """State of the files that `load` would read: names, sizes and times, not their content.

        None: they are not here, but `fetch_missing` may bring them.
        Raises: DataError: if they are not here and cannot be fetched.
        """

    def fetch_missing(self) -> None:  # noqa: B027 - most sources have nothing to fetch
        """Brings what is not here, where that is possible.

        Raises: DataError: if it fails.
        """

    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C), from the files' headers at most."""

    @abstractmethod
    def load(self) -> RawData:
        """Reads and checks the files, fetching them first where that is possible."""


def path_setting(key: str, value: object) -> Path:
    """A setting that names a file or a folder.

    Raises: DataError: if it is no text, or empty.
    """
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise DataError(f"{key} must be a path, got {value!r}; set {key}=PATH")
    return Path(os.path.expanduser(value))
