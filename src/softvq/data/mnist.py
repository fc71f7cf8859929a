"""MNIST and the sets published in its format: four IDX files, plain or gzipped."""

import gzip
import hashlib
import math
import struct
import zlib
from itertools import product
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from softvq.data.files import is_file, opened, size_of
from softvq.data.official import LARGEST_FILE, OfficialSet, all_verified, md5_of
from softvq.data.source import DataError, RawData

IMAGE_SHAPE = (28, 28, 1)
SPLITS = {"train": "train", "test": "t10k"}
# The names as they are published, and as some unpacking programs write them.
NAMES = {
    "images": ("images-idx3-ubyte", "images.idx3-ubyte"),
    "labels": ("labels-idx1-ubyte", "labels.idx1-ubyte"),
}
CLOTHES = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
CLASS_NAMES = {"FashionMNIST": tuple(CLOTHES.split(", "))}
DIGITS = tuple(map(str, range(10)))
# torchvision's checksums are those of the .gz files; these are of the files inside.
UNPACKED_MD5 = {
    "MNIST": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }
}


class IdxFiles(OfficialSet):
    """A set of torchvision in MNIST's format, e.g. `dataset="FashionMNIST"`: 28x28 gray, ten classes.

    Where the checksums of the files' own bytes are known (MNIST) they are checked. Elsewhere the .gz files' checksums
    are, and unpacked files are compared with those; unpacked files without the .gz files count as unverified.
    """

    def __init__(self, name: str, root: str, verify: bool, dataset: str) -> None:
        super().__init__(name, root, verify)
        if not isinstance(dataset, str) or not dataset.isidentifier():
            raise DataError(f"data.source.dataset must be a class of torchvision.datasets, as MNIST, got {dataset!r}")
        self.dataset = dataset
        self.folder = self.root / dataset / "raw"

    def settings(self) -> tuple[object, ...]:
        return (self.dataset,)

    def image_shape(self) -> tuple[int, int, int]:
        return IMAGE_SHAPE

    def files(self) -> list[Path]:
        paths: list[Path] = []
        for split, part in product(SPLITS, NAMES):
            plain, packed = self._paths(split, part)
            paths += [path for path in (plain, packed) if is_file(path)] or [packed]
        return paths

    def published(self) -> dict[Path, str]:
        return {self.folder / name: md5 for name, md5 in self._torchvision().resources}

    def download(self, root: Path) -> None:
        self._torchvision()(root, download=True)

    def _torchvision(self):
        from torchvision import datasets

        found = getattr(datasets, self.dataset, None)
        if not hasattr(found, "resources"):
            raise DataError(f"data.source.dataset={self.dataset} is no set in MNIST's format of torchvision.datasets")
        return found

    def load(self) -> RawData:
        self.fetch_missing()
        contents = {place: self._content(*place) for place in product(SPLITS, NAMES)}
        arrays = {place: array for place, (array, _) in contents.items()}
        return RawData(
            source=f"torchvision.datasets.{self.dataset} in {self.folder}",
            verified=all_verified(verified for _, verified in contents.values()),
            class_names=CLASS_NAMES.get(self.dataset, DIGITS),
            train_images=arrays["train", "images"],
            train_labels=arrays["train", "labels"],
            test_images=arrays["test", "images"],
            test_labels=arrays["test", "labels"],
        )

    def _paths(self, split: str, part: str) -> tuple[Path, Path]:
        """The plain and the gzipped file, by the published name unless only the other is there."""
        published, dotted = (self.folder / f"{SPLITS[split]}-{name}" for name in NAMES[part])
        plain = dotted if is_file(dotted) and not is_file(published) else published
        packed = _packed(dotted) if is_file(_packed(dotted)) and not is_file(_packed(published)) else _packed(published)
        return plain, packed

    def _content(self, split: str, part: str) -> tuple[np.ndarray, bool | None]:
        """Images (N, 28, 28, 1) or labels (N,) and whether they are the official ones."""
        plain, packed = self._paths(split, part)
        path = plain if is_file(plain) else packed
        content, array = self._read(path, part)
        name = f"{SPLITS[split]}-{NAMES[part][0]}"
        verified: bool | None = None
        if official := UNPACKED_MD5.get(self.dataset, {}).get(name):
            verified = self.accept(path, _md5(content), official, "MD5 of the unpacked content")
        elif is_file(packed):
            verified = self.accept(packed, md5_of(packed), self.published()[self.folder / f"{name}.gz"])
            if path == plain:
                inside, _ = self._read(packed, part)
                verified &= self.accept(plain, _md5(content), _md5(inside), f"{packed.name}'s MD5")
        return array, verified

    def _read(self, path: Path, part: str) -> tuple[bytes, np.ndarray]:
        """The bytes of an IDX file and its array; no more of it is read than its header promises."""
        with opened(path) as file:
            if path.suffix != ".gz":
                return self._parsed(path, file, part, size_of(path))
            try:
                with gzip.open(file) as unpacked:
                    return self._parsed(path, cast(BinaryIO, unpacked), part, LARGEST_FILE)
            except (OSError, EOFError, zlib.error) as error:
                raise self.damaged(path, error) from error

    def _parsed(self, path: Path, file: BinaryIO, part: str, largest: int) -> tuple[bytes, np.ndarray]:
        """An IDX file: 0, 0, 8 (uint8), number of axes, sizes as big-endian uint32, values."""
        axes = 3 if part == "images" else 1
        header = file.read(4 + 4 * axes)
        if header[:4] != bytes([0, 0, 8, axes]) or len(header) < 4 + 4 * axes:
            raise self.damaged(path, f"an IDX file of {part} starts with 0, 0, 8, {axes}, found {list(header[:4])}")
        shape = struct.unpack(f">{axes}I", header[4:])
        if part == "images" and shape[1:] != IMAGE_SHAPE[:2]:
            raise self.damaged(path, f"images of {IMAGE_SHAPE[:2]} expected, {shape[1:]} found")
        expected = len(header) + math.prod(shape)
        if expected > largest:
            raise self.damaged(path, f"{expected} bytes expected for {part} of shape {shape}, at most {largest} found")
        content = header + file.read(expected + 1 - len(header))
        if len(content) != expected:
            found = len(content) if len(content) < expected else "more"
            raise self.damaged(path, f"{expected} bytes expected for {part} of shape {shape}, {found} found")
        values = np.frombuffer(content, dtype=np.uint8, offset=len(header)).reshape(shape)
        return content, values.astype(np.int64) if part == "labels" else values[..., None]


def _packed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
