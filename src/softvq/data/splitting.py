"""A test set drawn from images that come without one."""

from numbers import Real

import numpy as np

from softvq.data.source import DataError


def check_test_fraction(test_fraction: object, split_seed: object) -> None:
    """Refuses what says nothing about how to draw a test set.

    Raises: DataError: naming the key and the value.
    """
    number = isinstance(test_fraction, Real) and not isinstance(test_fraction, bool)
    if test_fraction is not None and not (number and 0 < test_fraction < 1):  # type: ignore[operator]
        raise DataError(f"data.test_fraction must be above 0 and below 1 (or null), got {test_fraction!r}")
    if isinstance(split_seed, bool) or not isinstance(split_seed, int) or not 0 <= split_seed < 2**32:
        raise DataError(f"data.split_seed must be a whole number of 0 or more, got {split_seed!r}")
    if split_seed and test_fraction is None:
        raise DataError(f"data.split_seed={split_seed} draws nothing without data.test_fraction; set both or drop it")


def stratified_test_set(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Which images are the test set (N,), the same share of every class; the order of the images is kept.

    A class of two images or more has at least one on either side.

    Raises: DataError: if no class has two images.
    """
    random = np.random.RandomState(seed)  # the generator whose stream NumPy keeps from version to version
    test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        drawn = min(max(round(fraction * len(members)), 1), len(members) - 1)
        test[random.permutation(members)[:drawn]] = True
    if not test.any():
        raise DataError(
            f"data.test_fraction={fraction} sets no image aside: no class has more than one; choose the test images "
            "yourself (test/ beside train/, or test_images.npy), or leave the labels out"
        )
    return test
