"""MNIST and the sets published in its format: four IDX files, plain or gzipped."""

import gzip
import hashlib
import math
import struct
import zlib
from itertools import product
from pathlib import Path

import numpy as np

from softvq.data.official import OfficialSet, all_verified, md5_of
from softvq.data.source import RawData

IMAGE_SHAPE = (28, 28, 1)
SPLITS = {"train": "train", "test": "t10k"}
PARTS = {"images": "images-idx3-ubyte", "labels": "labels-idx1-ubyte"}
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
        self.dataset = dataset
        self.folder = self.root / dataset / "raw"

    def settings(self) -> tuple[object, ...]:
        return (self.dataset,)

    def image_shape(self) -> tuple[int, int, int]:
        return IMAGE_SHAPE

    def files(self) -> list[Path]:
        paths: list[Path] = []
        for split, part in product(SPLITS, PARTS):
            plain, packed = self._paths(split, part)
            paths += [path for path in (plain, packed) if path.is_file()] or [packed]
        return paths

    def published(self) -> dict[Path, str]:
        from torchvision import datasets

        return {self.folder / name: md5 for name, md5 in getattr(datasets, self.dataset).resources}

    def download(self, root: Path) -> None:
        from torchvision import datasets

        getattr(datasets, self.dataset)(root, download=True)

    def load(self) -> RawData:
        self.fetch_missing()
        contents = {place: self._content(*place) for place in product(SPLITS, PARTS)}
        arrays = {place: array for place, (array, _) in contents.items()}
        return RawData(
            source=f"torchvision.datasets.{self.dataset} in {self.folder}",
            verified=all_verified(verified for _, verified in contents.values()),
            classes=10,
            train_images=arrays["train", "images"],
            train_labels=arrays["train", "labels"],
            test_images=arrays["test", "images"],
            test_labels=arrays["test", "labels"],
        )

    def _paths(self, split: str, part: str) -> tuple[Path, Path]:
        """The plain and the gzipped file."""
        name = f"{SPLITS[split]}-{PARTS[part]}"
        return self.folder / name, self.folder / f"{name}.gz"

    def _content(self, split: str, part: str) -> tuple[np.ndarray, bool | None]:
        """Images (N, 28, 28, 1) or labels (N,) and whether they are the official ones."""
        plain, packed = self._paths(split, part)
        path = plain if plain.is_file() else packed
        content = path.read_bytes() if path == plain else self._unpacked(packed)
        verified: bool | None = None
        if official := UNPACKED_MD5.get(self.dataset, {}).get(plain.name):
            verified = self.accept(path, _md5(content), official, "MD5 of the unpacked content")
        elif packed.is_file():
            verified = self.accept(packed, md5_of(packed), self.published()[packed])
            if path == plain:
                verified &= self.accept(plain, _md5(content), _md5(self._unpacked(packed)), f"{packed.name}'s MD5")
        return self._parsed(path, content, part), verified

    def _unpacked(self, path: Path) -> bytes:
        try:
            return gzip.decompress(path.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise self.damaged(path, error) from error

    def _parsed(self, path: Path, content: bytes, part: str) -> np.ndarray:
        """The array of an IDX file: 0, 0, 8 (uint8), number of axes, sizes as big-endian uint32, values."""
        axes = 3 if part == "images" else 1
        start = 4 + 4 * axes
        if content[:4] != bytes([0, 0, 8, axes]) or len(content) < start:
            raise self.damaged(path, f"an IDX file of {part} starts with 0, 0, 8, {axes}, found {list(content[:4])}")
        shape = struct.unpack(f">{axes}I", content[4:start])
        expected = start + math.prod(shape)
        if len(content) != expected:
            raise self.damaged(path, f"{expected} bytes expected for {part} of shape {shape}, {len(content)} found")
        values = np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
        if part == "labels":
            return values.astype(np.int64)
        if shape[1:] != IMAGE_SHAPE[:2]:
            raise self.damaged(path, f"images of {IMAGE_SHAPE[:2]} expected, {shape[1:]} found")
        return values[..., None]


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
