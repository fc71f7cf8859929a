"""CIFAR-10, python version: pickled batches."""

import gzip
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from softvq.data.array_pickle import ArrayUnpickler
from softvq.data.files import is_file, opened, size_of
from softvq.data.official import OfficialSet, all_verified, md5_of
from softvq.data.source import RawData

TRAIN_FILES = [f"data_batch_{number}" for number in range(1, 6)]
TEST_FILES = ["test_batch"]
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LARGEST_BATCH = 2**28  # bytes; the published ones have an eighth of that


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

        ((archive, md5),) = self.published().items()
        if not is_file(archive):
            CIFAR10(root, download=True)
            return
        self.accept(archive, md5_of(archive), md5)
        self._unpack(archive, root / self._path("").name)

    def _unpack(self, archive: Path, folder: Path) -> None:
        """Writes the batches that an archive holds, and nothing else of it, into a folder."""
        folder.mkdir(parents=True)
        try:
            with opened(archive) as packed, tarfile.open(fileobj=packed, mode="r:gz") as tar:
                for member in tar:
                    name = PurePosixPath(member.name).name
                    if member.size > LARGEST_BATCH:
                        raise self.damaged(archive, f"at most {LARGEST_BATCH} bytes of {name} expected")
                    if name in TRAIN_FILES + TEST_FILES and member.isreg():
                        content = tar.extractfile(member)
                        assert content is not None
                        with (folder / name).open("wb") as file:
                            shutil.copyfileobj(content, file)
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self.damaged(archive, error) from error
        if missing := [name for name in TRAIN_FILES + TEST_FILES if not (folder / name).is_file()]:
            raise self.damaged(archive, f"it lacks {', '.join(missing)}")

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
            class_names=CLASS_NAMES,
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
        if size_of(path) > LARGEST_BATCH:
            raise self.damaged(path, f"at most {LARGEST_BATCH} bytes expected")
        with opened(path) as file:
            try:
                batch = ArrayUnpickler(file, encoding="latin1").load()
                content = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
                labels, pixels = content["labels"], content["data"].array()
            except Exception as error:  # a damaged pickle raises almost anything
                raise self.damaged(path, f"{type(error).__name__}: {error}") from error
        # Only a plain list: nested ones can stand for more values than there is memory.
        if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 10 for label in labels):
            raise self.damaged(path, "a list of labels from 0 to 9 expected")
        if pixels.shape != (len(labels), 3072):
            raise self.damaged(path, f"uint8 pixels ({len(labels)}, 3072) expected, {pixels.shape} found")
        return pixels, np.array(labels, dtype=np.int64)
