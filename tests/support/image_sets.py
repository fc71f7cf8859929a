"""Whole data sets of every format, each with the one file that a test damages, and what comes of reading them."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from image_files import idx_set, random_images, write_arrays, write_cifar10, write_idx_set, write_svhn
from PIL import Image

from softvq.data.array_files import ArrayFiles
from softvq.data.cifar10 import Cifar10Files
from softvq.data.image_folder import ImageFolder
from softvq.data.source import DataError, Source
from softvq.data.svhn import SvhnFiles


def outcome(source: Source, path: Path) -> str | None:
    """Reads everything; the words of the refusal, or None for data. Anything else that is raised is a failure."""
    try:
        source.fingerprint()
        source.image_shape()
        raw = source.load()
        for _, images, _ in raw.splits():
            assert images[0:1].dtype == np.uint8
            images[0 : images.shape[0]]
    except DataError as error:
        words = str(error)
        assert words.isprintable()
        assert str(path) in words or str(path.parent) in words
        return words
    return None


def npy_images(root: Path) -> tuple[Source, Path]:
    write_arrays(root)
    return ArrayFiles("mine", str(root)), root / "train_images.npy"


def npy_labels(root: Path) -> tuple[Source, Path]:
    write_arrays(root)
    return ArrayFiles("mine", str(root)), root / "test_labels.npy"


def idx_images(root: Path) -> tuple[Source, Path]:
    write_idx_set(root / "MNIST" / "raw", train=3, test=3)
    return idx_set(root, verify=False), root / "MNIST" / "raw" / "train-images-idx3-ubyte"


def idx_packed(root: Path) -> tuple[Source, Path]:
    write_idx_set(root / "MNIST" / "raw", train=3, test=3, packed=True)
    return idx_set(root, verify=False), root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"


def mat(root: Path) -> tuple[Source, Path]:
    write_svhn(root, train=2, test=2)
    return SvhnFiles("svhn", str(root), False), root / "test_32x32.mat"


def mat_uncompressed(root: Path) -> tuple[Source, Path]:
    write_svhn(root, train=2, test=2, compress=False)
    return SvhnFiles("svhn", str(root), False), root / "train_32x32.mat"


def cifar(root: Path) -> tuple[Source, Path]:
    write_cifar10(root, batch=1, test=2)
    return Cifar10Files("cifar10", str(root), False), root / "cifar-10-batches-py" / "test_batch"


def cifar_archive(root: Path) -> tuple[Source, Path]:
    write_cifar10(root / "made", batch=1, test=2)
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(root / "made" / "cifar-10-batches-py", "cifar-10-batches-py")
    return Cifar10Files("cifar10", str(root), False), root / "cifar-10-python.tar.gz"


def picture_in(suffix: str) -> Callable[[Path], tuple[Source, Path]]:
    def make(root: Path) -> tuple[Source, Path]:
        for split in ("train", "test"):
            (root / split / "cat").mkdir(parents=True, exist_ok=True)
            exif = Image.Exif()
            exif[0x0112] = 6
            Image.fromarray(random_images(1, 6, 4, 3)).save(root / split / "cat" / f"0.{suffix}", exif=exif)
        return ImageFolder("pictures", str(root), 8), root / "train" / "cat" / f"0.{suffix}"

    make.__name__ = suffix
    return make


PICTURES = [picture_in(suffix) for suffix in ("png", "jpg", "webp", "tiff", "bmp")]
FORMATS = [npy_images, npy_labels, idx_images, idx_packed, mat, mat_uncompressed, cifar, cifar_archive, *PICTURES]
