"""Writers of the formats in which image sets are published."""

import gzip
import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from softvq.data.mnist import IdxFiles

IDX_NAMES = [f"{split}-{part}" for split in ("train", "t10k") for part in ("images-idx3-ubyte", "labels-idx1-ubyte")]


def random_images(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def labels_of(count: int, classes: int = 10) -> np.ndarray:
    return np.arange(count) % classes


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx_set(folder: Path, train: int = 20, test: int = 10, packed: bool = False) -> dict[str, np.ndarray]:
    """Four IDX files of 28x28 images; returns what a reader should find."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "train-images-idx3-ubyte": random_images(0, train, 28, 28),
        "train-labels-idx1-ubyte": labels_of(train),
        "t10k-images-idx3-ubyte": random_images(1, test, 28, 28),
        "t10k-labels-idx1-ubyte": labels_of(test),
    }
    for name, array in arrays.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array), mtime=0))
        else:
            (folder / name).write_bytes(idx_bytes(array))
    return arrays


def write_svhn(root: Path, train: int = 20, test: int = 10, compress: bool = True) -> dict[str, np.ndarray]:
    """MATLAB 5 files as published, the digit 0 labelled 10; returns images (N, 32, 32, 3) and digits."""
    root.mkdir(parents=True, exist_ok=True)
    found = {}
    for seed, (split, count) in enumerate({"train": train, "test": test}.items()):
        images, digits = random_images(seed, count, 32, 32, 3), labels_of(count)
        y = np.where(digits == 0, 10, digits).astype(np.uint8)[:, None]
        savemat(root / f"{split}_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": y}, do_compression=compress)
        found |= {f"{split}_images": images, f"{split}_labels": digits}
    return found


def write_cifar10(root: Path, batch: int = 6, test: int = 10) -> dict[str, np.ndarray]:
    """Pickled batches as published, with bytes for keys; returns images (N, 32, 32, 3) and labels."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = random_images(0, 5 * batch + test, 32, 32, 3), labels_of(5 * batch + test)
    start = 0
    for name, count in {**{f"data_batch_{n}": batch for n in range(1, 6)}, "test_batch": test}.items():
        part = slice(start, start + count)
        start += count
        content = {
            b"batch_label": name.encode(),
            b"labels": [int(label) for label in labels[part]],
            b"data": np.ascontiguousarray(images[part].transpose(0, 3, 1, 2)).reshape(count, 3072),
            b"filenames": [b"%d.png" % number for number in range(count)],
        }
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"airplane"] * 10}, protocol=2))
    return {
        "train_images": images[:-test],
        "train_labels": labels[:-test],
        "test_images": images[-test:],
        "test_labels": labels[-test:],
    }


def write_arrays(folder: Path, train: int = 20, test: int = 10, shape: tuple[int, ...] = (12, 10)) -> None:
    """Four .npy files as a user would save them."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (split, count) in enumerate({"train": train, "test": test}.items()):
        np.save(folder / f"{split}_images.npy", random_images(seed, count, *shape))
        np.save(folder / f"{split}_labels.npy", labels_of(count, 3))


def write_picture(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path)


def write_pictures(folder: Path, shape: tuple[int, ...] = (6, 4, 3), classes: tuple[str, ...] = ("cat", "dog")) -> None:
    """Three training pictures and two test pictures of each class, as PNG."""
    seed = 0
    for split, count in {"train": 3, "test": 2}.items():
        for label in classes:
            for number in range(count):
                write_picture(folder / split / label / f"{number}.png", random_images(seed, *shape))
                seed += 1


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def idx_set(root: Path, dataset: str = "MNIST", verify: bool = True) -> IdxFiles:
    return IdxFiles(dataset.lower(), str(root), verify, dataset)


def publish(monkeypatch, dataset: str, folder: Path) -> None:
    """Makes the .gz files that lie in a folder those that torchvision knows."""
    resources = [(f"{name}.gz", md5((folder / f"{name}.gz").read_bytes())) for name in IDX_NAMES]
    monkeypatch.setattr(f"torchvision.datasets.{dataset}.resources", resources)
