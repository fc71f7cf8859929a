"""The 8x8 handwritten digits bundled with scikit-learn: real images without a download."""

import numpy as np

from softvq.data.source import RawData, Source
from softvq.data.splitting import stratified_test_set

# The set has no official split: a fifth of each class, drawn once with this seed, is the test set.
TEST_FRACTION = 0.2
SPLIT_SEED = 0


class Digits(Source):
    """1,797 images of 8x8 pixels in ten classes; pixel values 0 to 16 are scaled to 0 to 255.

    Reference: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
    """

    def settings(self) -> tuple[object, ...]:
        return (TEST_FRACTION, SPLIT_SEED)

    def fingerprint(self) -> str:
        return "bundled with scikit-learn"

    def image_shape(self) -> tuple[int, int, int]:
        return (8, 8, 1)

    def load(self) -> RawData:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        labels = digits.target.astype(np.int64)
        test = stratified_test_set(labels, TEST_FRACTION, SPLIT_SEED)
        return RawData(
            source="sklearn.datasets.load_digits",
            verified=None,
            class_names=tuple(map(str, range(10))),
            train_images=images[~test],
            train_labels=labels[~test],
            test_images=images[test],
            test_labels=labels[test],
        )
