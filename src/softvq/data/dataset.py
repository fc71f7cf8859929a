"""A prepared data set: its images and labels, and what is known of it without reading them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a prepared set without reading its images.

    Attributes:
        name: label of results, e.g. "mnist".
        source: where the images came from.
        sha256: of the four arrays' shapes, dtypes and bytes; the same content has the same one wherever it lies.
        verified: True if checksums matched, False if a differing copy was accepted, None if there is no checksum.
        image_shape: (H, W, C).
        pixel_variance: of all training pixels scaled to [0, 1].
    """

    name: str
    source: str
    sha256: str
    verified: bool | None
    image_shape: tuple[int, int, int]
    train_size: int
    test_size: int
    classes: int
    pixel_variance: float


@dataclass(frozen=True)
class ImageArrays:
    """A prepared set: images uint8 (N, H, W, C), mapped read-only; labels int64 (N,) from 0 to classes - 1."""

    info: DatasetInfo
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
