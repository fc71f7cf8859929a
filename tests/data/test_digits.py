"""scikit-learn's digits: all of them, and the same everywhere."""

import numpy as np
from sklearn.datasets import load_digits

from softvq.data.digits import Digits
from softvq.data.prepared import prepare


def test_digits_are_all_of_scikit_learns_images_scaled_to_255(tmp_path):
    arrays = prepare(Digits("digits"), tmp_path)
    assert arrays.train_images.shape == (1438, 8, 8, 1)
    assert arrays.test_images.shape == (359, 8, 8, 1)
    expected = [[[round(v * 255 / 16) for v in row] for row in image] for image in load_digits().images.tolist()]
    found = np.concatenate([arrays.train_images, arrays.test_images])[..., 0]
    assert sorted(map(bytes, found)) == sorted(map(bytes, np.array(expected, dtype=np.uint8)))


def test_digits_test_set_has_a_fifth_of_each_class():
    raw = Digits("digits").load()
    counts = np.bincount(raw.test_labels) / (np.bincount(raw.test_labels) + np.bincount(raw.train_labels))
    np.testing.assert_allclose(counts, 0.2, atol=0.003)


def test_digits_are_the_same_everywhere(tmp_path):
    # Pinned: results on digits are compared between machines and versions.
    sha256 = "cb091e534b2e007fef3c51618f154941d847a8d8dc1a2a194680a5d39eb85049"
    assert prepare(Digits("digits"), tmp_path).info.sha256 == sha256
