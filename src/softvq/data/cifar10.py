"""CIFAR-10, python version: pickled batches."""

import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from softvq.data.official import OfficialSet, all_verified, md5_of
from softvq.data.source import RawData

TRAIN_FILES = [f"data_batch_{number}" for number in range(1, 6)]
TEST_FILES = ["test_batch"]


class Cifar10Files(OfficialSet):
    """`cifar-10-batches-py/` with `data_batch_1` to `data_batch_5` and `test_batch`, or the published .tar.gz of it."""

    def image_shape(self) -> tuple[int, int, int]:
        return (32, 32, 3)

    def files(self) -> list[Path]:
        return [self._path(name) for name in TRAIN_FILES + TEST_FILES]

    def published(self) -> dict[Path, str]:
        from torchvision.datasets import CIFAR10

        return {self.root / CIFAR10.filename: CIFAR10.tgz_md5}

    def download(self, root: Path) -> None:
        from torchvision.datasets import CIFAR10
        from torchvision.datasets.utils import extract_archive

        ((archive, md5),) = self.published().items()
        if not archive.is_file():
            CIFAR10(root, download=True)
            return
        self.accept(archive, md5_of(archive), md5)
        try:
            extract_archive(archive, root)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise self.damaged(archive, error) from error

    def load(self) -> RawData:
        from torchvision.datasets import CIFAR10

        self.fetch_missing()
        md5 = dict(CIFAR10.train_list + CIFAR10.test_list)
        verified = all_verified(self.accept(path, md5_of(path), md5[path.name]) for path in self.files())
        train_images, train_labels = self._read(TRAIN_FILES)
        test_images, test_labels = self._read(TEST_FILES)
        return RawData(
            source=f"torchvision.datasets.CIFAR10 in {self.root}",
            verified=verified,
            classes=10,
            train_images=train_images,
            train_labels=train_labels,
            test_images=test_images,
            test_labels=test_labels,
        )

    def _path(self, name: str) -> Path:
        return self.root / "cifar-10-batches-py" / name

    def _read(self, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, 32, 32, 3) and labels (N,)."""
        batches = [self._batch(self._path(name)) for name in names]
        images = np.concatenate([images for images, _ in batches])
        return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.concatenate([labels for _, labels in batches])

    def _batch(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (N, 3072), channel by channel, and labels (N,)."""
        try:
            with path.open("rb") as file:
                batch = _ArrayUnpickler(file, encoding="latin1").load()
            content = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
            pixels, labels = content["data"], np.asarray(content["labels"], dtype=np.int64)
        except Exception as error:  # a damaged pickle raises almost anything
            raise self.damaged(path, f"{type(error).__name__}: {error}") from error
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (*labels.shape, 3072):
            raise self.damaged(path, f"uint8 pixels (N, 3072) and N labels expected, {labels.shape} labels found")
        return pixels, labels


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and plain values only: an unverified file cannot run code."""

    ALLOWED = frozenset(
        {
            ("_codecs", "encode"),
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
            *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in CIFAR-10")
        return super().find_class(module, name)
