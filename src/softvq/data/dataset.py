"""A prepared data set: its images and labels, and what is known of it without reading them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_NAMED = 10  # classes in a message


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a prepared set without reading its images.

    Attributes:
        name: label of results, e.g. "mnist".
        source: where the images came from.
        sha256: of the arrays' shapes, dtypes and bytes; the same content has the same one wherever it lies.
        verified: True if checksums matched, False if a differing copy was accepted, None if there is no checksum.
        image_shape: (H, W, C).
        class_names: in the order of the labels; none for images without labels.
        train_per_class: training images of each class, as `test_per_class`; of those that are trained on.
        train_size: number of training images, as `test_size`.
        pixel_counts: how often each of the values 0 to 255 occurs in the images that are trained on.
        duplicates: test images that are training images, too, bit for bit.
        remarks: what was left out or changed in reading.
    """

    name: str
    source: str
    sha256: str
    verified: bool | None
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train_per_class: tuple[int, ...]
    test_per_class: tuple[int, ...]
    train_size: int
    test_size: int
    pixel_counts: tuple[int, ...]
    duplicates: int
    remarks: tuple[str, ...]

    @property
    def classes(self) -> int:
        """Number of classes, 0 for images without labels."""
        return len(self.class_names)

    @property
    def pixel_variance(self) -> float:
        """Variance of the pixels that are trained on, scaled to [0, 1]."""
        values, counts = np.arange(256) / 255, np.array(self.pixel_counts, dtype=np.int64)
        frequency = counts / counts.sum()
        return float(frequency @ (values - frequency @ values) ** 2)

    def provenance(self) -> dict[str, Any]:
        """What a result keeps of the data that it was measured on, as JSON holds it."""
        kept = (
            "name",
            "source",
            "sha256",
            "verified",
            "class_names",
            "train_size",
            "test_size",
            "duplicates",
            "remarks",
        )
        values = {key: getattr(self, key) for key in kept}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def summary(self) -> str:
        """One line of what the set holds."""
        height, width, channels = self.image_shape
        if self.classes:
            sizes = zip(self.class_names, self.train_per_class, self.test_per_class, strict=True)
            each = [f"{name}: {train + test}" for name, train, test in sizes]
            classes = f"{self.classes} class{'es' if self.classes > 1 else ''} ({_some(each)})"
        else:
            classes = "no labels"
        kind = {1: "gray", 3: "colour"}.get(channels, f"of {channels} channels")
        parts = [
            f"{self.name}: {self.train_size:,} training and {self.test_size:,} test images",
            f"{width} x {height} {kind}",
            classes,
            *self.remarks,
        ]
        return ", ".join(parts)

    def warnings(self) -> list[str]:
        """What makes results on this set other than they look, a sentence each."""
        found = []
        if self.verified is False:
            found.append(
                f"{self.name} is NOT the official copy: its checksums differ and data.verify=false accepted it "
                f"({self.source})"
            )
        if self.duplicates:
            some = "all" if self.duplicates == self.test_size else f"{self.duplicates:,}"
            found.append(
                f"{self.name}: {some} of the {self.test_size:,} test images are training images, too; "
                "what is measured on them says nothing of unseen images"
            )
        untrained, untested = self._lacking(self.train_per_class), self._lacking(self.test_per_class)
        if untrained:
            found.append(f"{self.name}: no training image has the class {_some(untrained)}; it can only be mistaken")
        if untested:
            found.append(f"{self.name}: no test image has the class {_some(untested)}; it is still counted as a class")
        return found

    def _lacking(self, per_class: tuple[int, ...]) -> list[str]:
        return [name for name, images in zip(self.class_names, per_class, strict=True) if not images]


@dataclass(frozen=True)
class ImageArrays:
    """A prepared set: images uint8 (N, H, W, C), mapped read-only; labels int64 (N,) from 0 to classes - 1, or None."""

    info: DatasetInfo
    train_images: np.ndarray
    train_labels: np.ndarray | None
    test_images: np.ndarray
    test_labels: np.ndarray | None


def _some(words: list[str]) -> str:
    return ", ".join(words[:MOST_NAMED]) + (f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else "")
