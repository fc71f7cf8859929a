"""Labels of one's own arrays: numbers, words or one column a class, made into classes numbered from 0."""

from pathlib import Path

import numpy as np

from softvq.bounded_files import printable
from softvq.data.source import DataError


def read_labels(path: Path, labels: np.ndarray, images: int) -> np.ndarray:
    """Integers or words (N,) of what a file of labels holds.

    Args:
        path: of the file, for messages.
        labels: numbers or words (N,) or (N, 1), or (N, classes) with a single 1 in each row.
        images: N.

    Raises: DataError: for anything else.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape[:1] != (images,) or labels.ndim > 2:
        raise DataError(
            f"{path} must hold one label for each of {images} images, shape ({images},), or one column a class, "
            f"found {labels.shape}; save both from the same images"
        )
    if labels.ndim == 2:
        return _from_columns(path, labels)
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "U":
        return np.asarray(labels)
    if labels.dtype.kind not in "iub":
        raise DataError(f"{path} must hold integers or words, found {labels.dtype}; {_advice(labels)}")
    if labels.min() < 0:
        raise DataError(f"{path} must hold labels of 0 or more, found {labels.min()}; renumber the classes from 0")
    if labels.max() > np.iinfo(np.int64).max:
        raise DataError(f"{path} must hold labels below 2^63, found {labels.max()}; renumber the classes from 0")
    return labels.astype(np.int64)


def _advice(labels: np.ndarray) -> str:
    """How to save labels of another type."""
    if labels.dtype.kind in "fc" and not np.isfinite(labels).all():
        return "some are NaN or infinite: leave the images without a label out, or all labels"
    if labels.dtype.kind == "f" and (labels == np.round(labels)).all():
        return "save it with .astype(numpy.int64)"
    if labels.dtype.kind in "fc":
        return "number the classes: numpy.unique(labels, return_inverse=True)[1], if each value is one"
    return "save it with .astype(str)"


def _from_columns(path: Path, labels: np.ndarray) -> np.ndarray:
    """The number of the column that holds the 1."""
    found = labels.dtype.kind in "iubf" and bool(((labels == 0) | (labels == 1)).all())
    if not found or not (np.count_nonzero(labels, axis=1) == 1).all():
        raise DataError(
            f"{path} has shape {labels.shape}, but not a single 1 among zeros in each row, as one column a class has; "
            "save one label for each image, with .argmax(1) where the largest column is the class"
        )
    return labels.argmax(1)


def classes_of(parts: tuple[np.ndarray, ...], where: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The parts' labels as numbers from 0, and the classes' names: a class is a label that occurs in either part.

    Raises: DataError: if one part has words and another numbers.
    """
    if len({part.dtype.kind == "U" for part in parts}) > 1:
        raise DataError(f"{where}: the labels of one part are words, those of the other numbers; save both as one kind")
    values, numbers = np.unique(np.concatenate(parts), return_inverse=True)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return np.split(numbers, ends), tuple(printable(str(value)) for value in values)
