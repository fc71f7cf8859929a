"""The user's own arrays: four .npy files in a folder."""

import math
from pathlib import Path

import numpy as np

from softvq.data.source import DataError, RawData, Source, file_state, fingerprint_of

LAYOUT = (
    "needed are train_images.npy and test_images.npy (uint8, N x H x W or N x H x W x C) "
    "with train_labels.npy and test_labels.npy (integers, N)"
)


class ArrayFiles(Source):
    """`{train,test}_images.npy` and `{train,test}_labels.npy` in one folder.

    Labels that are not 0, 1, 2, ... are renumbered in their order; a class is a label that occurs.
    """

    def __init__(self, name: str, dir: str) -> None:
        super().__init__(name)
        self.dir = Path(dir).expanduser()

    def settings(self) -> tuple[object, ...]:
        return (str(self.dir.resolve()),)

    def fingerprint(self) -> str:
        paths = [self.dir / f"{split}_{part}.npy" for split in ("train", "test") for part in ("images", "labels")]
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise DataError(f"data.dir={self.dir} lacks {', '.join(missing)}; {LAYOUT}")
        return fingerprint_of([(path.name, *file_state(path)) for path in paths])

    def image_shape(self) -> tuple[int, int, int]:
        self.fingerprint()
        return self._images("train").shape[1:]

    def load(self) -> RawData:
        self.fingerprint()
        train_images, test_images = self._images("train"), self._images("test")
        train_labels, test_labels = self._labels("train", len(train_images)), self._labels("test", len(test_images))
        labels, renumbered = np.unique(np.concatenate([train_labels, test_labels]), return_inverse=True)
        return RawData(
            source=f"arrays in {self.dir}",
            verified=None,
            classes=len(labels),
            train_images=train_images,
            train_labels=renumbered[: len(train_labels)],
            test_images=test_images,
            test_labels=renumbered[len(train_labels) :],
        )

    def _images(self, split: str) -> np.ndarray:
        path = self.dir / f"{split}_images.npy"
        images = _mapped(path)
        if images.dtype != np.uint8:
            raise DataError(
                f"{path} must be uint8 (pixel values 0 to 255), found {images.dtype}; "
                f"scale it to 0 to 255 and save it with .astype(numpy.uint8)"
            )
        if images.ndim not in (3, 4) or 0 in images.shape:
            raise DataError(f"{path} must be N x H x W or N x H x W x C with none of them 0, found {images.shape}")
        if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] > 4:
            raise DataError(
                f"{path} has shape {images.shape}, which looks like N x C x H x W; "
                f"the channels come last: save it with .transpose(0, 2, 3, 1)"
            )
        return images if images.ndim == 4 else images[..., None]

    def _labels(self, split: str, images: int) -> np.ndarray:
        path = self.dir / f"{split}_labels.npy"
        labels = _mapped(path)
        if labels.dtype.kind not in "iu":
            raise DataError(f"{path} must hold integers, found {labels.dtype}; save it with .astype(numpy.int64)")
        if labels.shape != (images,):
            raise DataError(
                f"{path} must hold one label for each image of {split}_images.npy, shape ({images},), "
                f"found {labels.shape}; save both from the same images"
            )
        if labels.min() < 0:
            raise DataError(f"{path} must hold labels of 0 or more, found {labels.min()}; renumber the classes from 0")
        return labels.astype(np.int64)


def _mapped(path: Path) -> np.ndarray:
    """A .npy file's array, only its header read; nothing in it is ever unpickled."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(file)
            expected = file.tell() + math.prod(shape) * dtype.itemsize
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is not a .npy file: {error}; {LAYOUT}") from error
    if dtype.hasobject:
        raise DataError(f"{path} holds Python objects, which are not read; {LAYOUT}")
    if (found := path.stat().st_size) != expected:
        raise DataError(
            f"{path} should have {expected} bytes for {dtype} {shape}, found {found}: "
            f"it is cut short or altered; copy or save it again"
        )
    return np.load(path, mmap_mode="r", allow_pickle=False)
