"""One's own arrays: what is read, what is refused, and in which words."""

import numpy as np
import pytest
from image_files import (
    labels_of,
    random_images,
    write_arrays,
)

from softvq.data.array_files import ArrayFiles
from softvq.data.prepared import prepare
from softvq.data.source import DataError


@pytest.mark.parametrize(
    ("shape", "expected"), [((12, 10), (12, 10, 1)), ((8, 8, 1), (8, 8, 1)), ((6, 6, 3), (6, 6, 3))]
)
def test_shape_of_arrays_is_known_from_their_headers(tmp_path, shape, expected):
    write_arrays(tmp_path, shape=shape)
    source = ArrayFiles("mine", str(tmp_path))
    assert source.image_shape() == expected
    assert prepare(source, tmp_path).info.image_shape == expected


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i4", "uint64"])
def test_labels_of_any_integer_type_become_int64(tmp_path, dtype):
    write_arrays(tmp_path)
    np.save(tmp_path / "train_labels.npy", labels_of(20, 3).astype(dtype))
    arrays = prepare(ArrayFiles("mine", str(tmp_path)), tmp_path)
    assert arrays.train_labels.dtype == np.int64
    np.testing.assert_array_equal(arrays.train_labels, labels_of(20, 3))


def test_labels_with_gaps_are_renumbered_alike_in_both_parts(tmp_path):
    write_arrays(tmp_path)
    np.save(tmp_path / "train_labels.npy", np.array([1, 5, 7, 5] * 5))
    np.save(tmp_path / "test_labels.npy", np.array([7, 1] * 5))
    raw = ArrayFiles("mine", str(tmp_path)).load()
    assert raw.class_names == ("1", "5", "7")
    assert raw.train_labels[:4].tolist() == [0, 1, 2, 1]
    assert raw.test_labels[:2].tolist() == [2, 0]


def test_arrays_in_fortran_order_are_read_as_they_are(tmp_path):
    write_arrays(tmp_path)
    images = random_images(5, 20, 12, 10)
    np.save(tmp_path / "train_images.npy", np.asfortranarray(images))
    np.testing.assert_array_equal(prepare(ArrayFiles("mine", str(tmp_path)), tmp_path).train_images[..., 0], images)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "train_images",
            np.zeros((20, 12, 10), np.float32),
            r"must be uint8 .*found float32; .*astype\(numpy\.uint8\)",
        ),
        ("train_images", np.zeros((20, 120), np.uint8), r"must be N x H x W or N x H x W x C .*found \(20, 120\)"),
        ("train_images", np.zeros((0, 12, 10), np.uint8), r"with none of them 0, found \(0, 12, 10\)"),
        ("train_images", np.zeros((20, 3, 12, 10), np.uint8), r"looks like N x C x H x W; .*transpose\(0, 2, 3, 1\)"),
        ("test_images", np.zeros((10, 12, 11), np.uint8), r"one shape, found \(12, 10, 1\) and \(12, 11, 1\)"),
        ("train_labels", np.zeros(20), r"must hold integers or words, found float64; .*astype\(numpy\.int64\)"),
        (
            "train_labels",
            np.zeros(19, int),
            r"one label for each of 20 images, shape \(20,\), .*found \(19,\)",
        ),
        ("test_labels", np.zeros((10, 2), int), r"shape \(10, 2\), but not a single 1 .*argmax\(1\)"),
        ("test_labels", np.full(10, -2), "must hold labels of 0 or more, found -2"),
        (
            "train_labels",
            np.array([{}] * 20, dtype=object),
            r"holds Python objects, which are not read; save words with \.astype\(str\)",
        ),
    ],
)
def test_arrays_that_are_not_images_and_labels_are_named(tmp_path, name, array, message):
    write_arrays(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(DataError, match=message) as caught:
        prepare(ArrayFiles("mine", str(tmp_path)), tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_missing_arrays_are_named_with_the_layout_that_is_needed(tmp_path):
    write_arrays(tmp_path)
    (tmp_path / "test_images.npy").unlink()
    (tmp_path / "train_labels.npy").unlink()
    with pytest.raises(DataError, match=rf"data\.dir={tmp_path} lacks train_labels\.npy, test_images\.npy; needed are"):
        ArrayFiles("mine", str(tmp_path)).fingerprint()


@pytest.mark.parametrize(("keep", "message"), [(0, "is not a .npy file"), (60, "is not a .npy file")])
def test_a_broken_header_is_named(tmp_path, keep, message):
    write_arrays(tmp_path)
    path = tmp_path / "test_labels.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"{path} {message}"):
        ArrayFiles("mine", str(tmp_path)).load()


def test_a_truncated_array_is_named_with_both_sizes(tmp_path):
    write_arrays(tmp_path)
    path = tmp_path / "train_images.npy"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-7])
    message = rf"{path} should have {size} bytes for uint8 \(20, 12, 10\), found {size - 7}: it is cut short"
    with pytest.raises(DataError, match=message):
        ArrayFiles("mine", str(tmp_path)).load()
