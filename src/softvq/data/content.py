"""What arrays hold, read once: their SHA-256, how often each pixel value occurs, and which images occur twice."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from softvq.data.source import SlicedImages
from softvq.durable_files import sync

BLOCK_BYTES = 2**23  # what is read, hashed and written at a time
IMAGES, LABELS = np.dtype("u1"), np.dtype("<i8")


class Chosen:
    """Some images of an array, cut out when asked for: uint8 (n, H, W, C)."""

    def __init__(self, images: SlicedImages, indices: np.ndarray) -> None:
        self._images, self._indices = images, indices
        self.shape = (len(indices), *images.shape[1:])

    def __getitem__(self, images: slice, /) -> np.ndarray:
        return self._images[self._indices[images]]  # type: ignore[index]


class Content:
    """SHA-256 over arrays: of each one its shape and dtype, then its bytes."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def sha256(self) -> str:
        return self._hash.hexdigest()

    def add(self, array: SlicedImages, dtype: np.dtype) -> Iterator[np.ndarray]:
        """Takes in an array, block by block as it is asked for the next.

        Yields: each block, as it was taken in.
        """
        self._hash.update(f"{tuple(array.shape)} {dtype.str}\n".encode())
        for block in blocks(array, dtype):
            self._hash.update(block.data)
            yield block


class ImageStatistics:
    """What is to be known of a part's images.

    Attributes:
        pixel_counts: int64 (256,), how often each value occurs.
        hashes: int64 (N,), equal for equal images and, but for one in 10^19 pairs, for no others.
    """

    def __init__(self) -> None:
        self.pixel_counts = np.zeros(256, dtype=np.int64)
        self._hashes: list[np.ndarray] = []

    def add(self, block: np.ndarray) -> None:
        """Takes in images (n, H, W, C)."""
        self.pixel_counts += count_pixels(block)
        content, size = block.tobytes(), block[0].nbytes
        hashes = (hash(content[start : start + size]) for start in range(0, len(content), size))
        self._hashes.append(np.fromiter(hashes, np.int64, len(block)))

    @property
    def hashes(self) -> np.ndarray:
        return np.concatenate(self._hashes)


def write_array(path: Path, array: SlicedImages, dtype: np.dtype, content: Content) -> ImageStatistics:
    """Writes a .npy file to the disk and takes its array into a content."""
    statistics = ImageStatistics()
    with path.open("wb") as file:
        header = {"descr": dtype.str, "fortran_order": False, "shape": tuple(array.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for block in content.add(array, dtype):
            file.write(block.data)
            if dtype == IMAGES:
                statistics.add(block)
    sync(path)
    return statistics


def blocks(array: SlicedImages, dtype: np.dtype) -> Iterator[np.ndarray]:
    """An array in contiguous parts of a few megabytes."""
    rows = max(1, BLOCK_BYTES // max(1, int(np.prod(array.shape[1:])) * dtype.itemsize))
    for start in range(0, array.shape[0], rows):
        yield np.ascontiguousarray(array[start : start + rows], dtype=dtype)


def count_pixels(images: np.ndarray) -> np.ndarray:
    """How often each of the values 0 to 255 occurs in uint8 images, int64 (256,)."""
    flat = np.ascontiguousarray(images).reshape(-1)
    even = len(flat) // 2 * 2
    # Two pixels at a time: NumPy counts by first making every value eight bytes long.
    pairs = np.bincount(flat[:even].view(np.uint16), minlength=2**16).reshape(256, 256)
    return pairs.sum(0) + pairs.sum(1) + np.bincount(flat[even:], minlength=256)
