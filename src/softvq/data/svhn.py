"""Street View House Numbers, cropped digits: two MATLAB files."""

import math
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from softvq.data.files import is_file, opened
from softvq.data.official import LARGEST_FILE, OfficialSet, all_verified, md5_of
from softvq.data.source import RawData

MAT_HEADER, MAT_PACKED = 128, 15  # bytes before the first variable, and the kind of a packed one
PIECE = 2**20  # bytes that are unfolded at a time


class SvhnFiles(OfficialSet):
    """`{train,test}_32x32.mat` with X uint8 (32, 32, 3, N) and y, labels from 1 to 10, where 10 is the digit 0."""

    def image_shape(self) -> tuple[int, int, int]:
        return (32, 32, 3)

    def files(self) -> list[Path]:
        return [self._path("train"), self._path("test")]

    def published(self) -> dict[Path, str]:
        from torchvision.datasets import SVHN

        return {self._path(split): SVHN.split_list[split][2] for split in ("train", "test")}

    def download(self, root: Path) -> None:
        from torchvision.datasets import SVHN

        for split in ("train", "test"):
            if not is_file(self._path(split)):
                SVHN(root, split=split, download=True)

    def load(self) -> RawData:
        self.fetch_missing()
        verified = all_verified(self.accept(path, md5_of(path), md5) for path, md5 in self.published().items())
        train_images, train_labels = self._read("train")
        test_images, test_labels = self._read("test")
        return RawData(
            source=f"torchvision.datasets.SVHN in {self.root}",
            verified=verified,
            class_names=tuple(map(str, range(10))),
            train_images=train_images,
            train_labels=train_labels,
            test_images=test_images,
            test_labels=test_labels,
        )

    def _path(self, split: str) -> Path:
        return self.root / f"{split}_32x32.mat"

    def _check_sizes(self, path: Path, file: BinaryIO) -> None:
        """Refuses packed variables that would unfold to more than any such file holds, before scipy unfolds them."""
        place = MAT_HEADER
        while file.seek(place) == place and len(tag := file.read(8)) == 8:
            kind, size = struct.unpack("<II", tag)
            if kind != MAT_PACKED:
                place += 8 + size + -size % 8
                continue
            place += 8 + size
            unpacker, unfolded, left = zlib.decompressobj(), 0, size
            with suppress(zlib.error):  # which scipy comes upon, too
                while left > 0 and (piece := file.read(min(left, PIECE))):
                    left -= len(piece)
                    while piece:
                        unfolded += len(unpacker.decompress(piece, PIECE))
                        piece = unpacker.unconsumed_tail
                        if unfolded > LARGEST_FILE:
                            raise self.damaged(path, f"more than {LARGEST_FILE:,} bytes are packed into a variable")
        file.seek(0)

    def _read(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, 32, 32, 3) and labels (N,)."""
        from scipy.io import loadmat, whosmat

        path = self._path(split)
        with opened(path) as file:
            self._check_sizes(path, file)
            try:
                promised = {name: (shape, kind) for name, shape, kind in whosmat(file)}
                (images_shape, kind), labels_shape = promised["X"], promised["y"][0]
            except Exception as error:  # a damaged file makes scipy raise almost anything
                raise self.damaged(path, f"{type(error).__name__}: {error}") from error
            N = max(labels_shape)
            if kind != "uint8" or images_shape != (32, 32, 3, N) or math.prod(labels_shape) != N:
                raise self.damaged(
                    path,
                    f"X uint8 (32, 32, 3, N) and N labels expected, X {kind} {images_shape}, y {labels_shape} found",
                )
            if math.prod(images_shape) > LARGEST_FILE:
                raise self.damaged(path, f"it promises {N:,} images")
            try:
                file.seek(0)
                content = loadmat(file, variable_names=["X", "y"])
                images, labels = content["X"], content["y"].ravel().astype(np.int64)
            except Exception as error:
                raise self.damaged(path, f"{type(error).__name__}: {error}") from error
        if images.dtype != np.uint8 or images.shape != images_shape or labels.shape != (N,):
            raise self.damaged(path, f"X uint8 {images_shape} expected, X {images.dtype} {images.shape} found")
        labels[labels == 10] = 0
        return images.transpose(3, 0, 1, 2), labels
