"""One's own arrays: what is read, what is refused, and in which words."""

import numpy as np
import pytest
from image_files import labels_of, random_images, write_arrays

from softvq.data.array_files import ArrayFiles
from softvq.data.prepared import prepare, prepared_info
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


# --- labels


@pytest.mark.parametrize(
    ("saved", "names"),
    [
        (np.array(["dog", "cat", "emu"] * 10), ("cat", "dog", "emu")),
        (np.array([b"dog", b"cat", b"emu"] * 10), ("cat", "dog", "emu")),
        (np.array([[1], [0], [2]] * 10), ("0", "1", "2")),
        (np.eye(3)[[1, 0, 2] * 10], ("0", "1", "2")),
        (np.eye(3, dtype=bool)[[1, 0, 2] * 10], ("0", "1", "2")),
        (np.array([30, 7, 100] * 10), ("7", "30", "100")),
        (np.array(["1", "0", "2"] * 10, dtype="U1"), ("0", "1", "2")),
    ],
)
def test_labels_that_are_words_columns_or_numbers_become_classes_with_names(tmp_path, saved, names):
    write_arrays(tmp_path)
    np.save(tmp_path / "train_labels.npy", saved[:20])
    np.save(tmp_path / "test_labels.npy", saved[20:])
    arrays = prepare(ArrayFiles("mine", str(tmp_path)), tmp_path)
    assert arrays.info.class_names == names
    assert arrays.train_labels[:3].tolist() == [1, 0, 2]
    assert arrays.info.test_per_class == (3, 3, 4)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((20, 3), 1 / 3), r"not a single 1 among zeros in each row"),
        (np.array([[1, 1, 0]] * 20), r"not a single 1 .*save one label for each image, with \.argmax\(1\)"),
        (np.full((20, 2), np.nan), r"not a single 1"),
        (np.array([0, np.nan] * 10), r"found float64; some are NaN or infinite"),
        (np.zeros((20, 2, 2), int), r"must hold one label for each of 20 images"),
        (np.full(20, 2**64 - 1, np.uint64), r"below 2\^63, found 18446744073709551615; renumber"),
        (np.array(["2024-01-01"] * 20, "M8[D]"), r"must hold integers or words, found datetime64"),
        (np.zeros(20, "i4,f4"), r"must hold integers or words"),
    ],
)
def test_labels_that_name_no_class_are_refused_with_a_way_out(tmp_path, labels, message):
    write_arrays(tmp_path)
    np.save(tmp_path / "train_labels.npy", labels)
    with pytest.raises(DataError, match=rf"{tmp_path}/train_labels\.npy .*{message}"):
        ArrayFiles("mine", str(tmp_path)).load()


VALUES = {
    "whole numbers as floats": np.arange(20) % 3 + 0.0,
    "other floats": np.arange(20) % 3 + 0.5,
    "dates": np.array(["2024-01-01", "2024-01-02"] * 10, "M8[D]"),
}


@pytest.mark.parametrize("labels", VALUES.values(), ids=VALUES)
def test_the_advice_for_labels_of_another_type_works(tmp_path, labels):
    write_arrays(tmp_path)
    (tmp_path / "test_labels.npy").unlink()
    (tmp_path / "train_labels.npy").rename(tmp_path / "labels.npy")
    (tmp_path / "train_images.npy").rename(tmp_path / "images.npy")
    (tmp_path / "test_images.npy").unlink()
    np.save(tmp_path / "labels.npy", labels)
    source = ArrayFiles("mine", str(tmp_path), test_fraction=0.2)
    with pytest.raises(DataError) as refused:
        source.load()
    advised = [
        (".astype(numpy.int64)", labels.astype(np.int64)),
        ("numpy.unique(labels, return_inverse=True)[1]", np.unique(labels, return_inverse=True)[1]),
        (".astype(str)", labels.astype(str)),
    ]
    ((_, saved),) = [(advice, saved) for advice, saved in advised if advice in str(refused.value)]
    np.save(tmp_path / "labels.npy", saved)
    assert len(prepare(source, tmp_path).info.class_names) == len(np.unique(labels))


def test_images_of_which_none_can_be_set_aside_are_told(tmp_path):
    np.save(tmp_path / "images.npy", random_images(0, 3, 12, 10))
    np.save(tmp_path / "labels.npy", np.arange(3))
    with pytest.raises(DataError, match=r"data\.test_fraction=0\.2 sets no image aside: no class has more than one; "):
        ArrayFiles("mine", str(tmp_path), test_fraction=0.2).load()


def test_the_advice_for_columns_of_probabilities_works(tmp_path):
    write_arrays(tmp_path)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 20)
    np.save(tmp_path / "train_labels.npy", probabilities.argmax(1))
    raw = ArrayFiles("mine", str(tmp_path)).load()
    np.testing.assert_array_equal(raw.train_labels, probabilities.argmax(1))


def test_words_in_one_part_and_numbers_in_the_other_are_refused(tmp_path):
    write_arrays(tmp_path)
    np.save(tmp_path / "test_labels.npy", np.array(["0", "1"] * 5))
    with pytest.raises(DataError, match="the labels of one part are words, those of the other numbers"):
        ArrayFiles("mine", str(tmp_path)).load()


def test_a_class_of_one_part_alone_counts_and_is_warned_of(tmp_path):
    # The same rule as for folders.
    write_arrays(tmp_path)
    np.save(tmp_path / "test_labels.npy", np.array([0, 1, 1, 0, 9] * 2))
    info = prepare(ArrayFiles("mine", str(tmp_path)), tmp_path).info
    assert info.class_names == ("0", "1", "2", "9")
    untrained, untested = info.warnings()
    assert "no training image has the class 9" in untrained
    assert "no test image has the class 2" in untested


def test_arrays_without_labels_are_prepared_without(tmp_path):
    write_arrays(tmp_path)
    for path in tmp_path.glob("*_labels.npy"):
        path.unlink()
    source = ArrayFiles("mine", str(tmp_path))
    arrays = prepare(source, tmp_path)
    assert arrays.info.class_names == ()
    assert arrays.train_labels is arrays.test_labels is None
    assert prepare(source, tmp_path).info == prepared_info(source, tmp_path) == arrays.info


def test_labels_of_one_part_alone_are_refused(tmp_path):
    write_arrays(tmp_path)
    (tmp_path / "test_labels.npy").unlink()
    with pytest.raises(DataError, match=r"lacks test_labels\.npy; needed are .*without files of labels"):
        ArrayFiles("mine", str(tmp_path)).load()


# --- one set that is split


def whole_set(folder, labels=True):
    write_arrays(folder, train=45)
    for path in folder.glob("test_*"):
        path.unlink()
    (folder / "train_images.npy").rename(folder / "images.npy")
    if labels:
        (folder / "train_labels.npy").rename(folder / "labels.npy")
    else:
        (folder / "train_labels.npy").unlink()


@pytest.mark.parametrize("labels", [True, False])
def test_images_without_a_test_set_are_split_by_a_seed(tmp_path, labels):
    whole_set(tmp_path, labels)
    with pytest.raises(DataError, match=r"has no test set; set data\.test_fraction=0\.2"):
        ArrayFiles("mine", str(tmp_path)).load()
    source = ArrayFiles("mine", str(tmp_path), test_fraction=0.2)
    assert source.image_shape() == (12, 10, 1)
    arrays = prepare(source, tmp_path)
    assert (arrays.info.train_size, arrays.info.test_size, arrays.info.duplicates) == (36, 9, 0)
    images = np.load(tmp_path / "images.npy")[..., None]
    together = np.concatenate([arrays.train_images, arrays.test_images])
    assert sorted(map(bytes, together)) == sorted(map(bytes, images))
    if labels:
        place = {bytes(image): label for image, label in zip(images, np.load(tmp_path / "labels.npy"), strict=True)}
        assert [place[bytes(image)] for image in arrays.test_images] == arrays.test_labels.tolist()
    other = ArrayFiles("mine", str(tmp_path), test_fraction=0.2, split_seed=1)
    assert prepare(other, tmp_path).info.sha256 != arrays.info.sha256
    assert prepare(source, tmp_path).info == arrays.info


def test_a_fraction_is_refused_where_there_is_a_test_set(tmp_path):
    write_arrays(tmp_path)
    with pytest.raises(DataError, match=r"has a test set of its own .*; drop data\.test_fraction"):
        ArrayFiles("mine", str(tmp_path), test_fraction=0.2).load()


def test_two_layouts_at_once_are_refused(tmp_path):
    write_arrays(tmp_path)
    np.save(tmp_path / "images.npy", random_images(0, 5, 12, 10))
    with pytest.raises(DataError, match=r"has images\.npy beside train_images\.npy, .*remove what is not to be used"):
        ArrayFiles("mine", str(tmp_path)).load()


# --- headers that promise


@pytest.mark.parametrize("shape", [(10**12, 12, 10), (-20, -12, 10), (2**62, 2**62), (20, 10**30)])
def test_a_header_that_promises_more_than_there_is_is_refused_without_memory_for_it(tmp_path, shape):
    write_arrays(tmp_path)
    path = tmp_path / "train_images.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.write(bytes(2400))
    with pytest.raises(DataError, match=rf"{path} (should have|is not a \.npy file)"):
        ArrayFiles("mine", str(tmp_path)).load()


def test_large_images_are_refused_with_their_size(tmp_path):
    write_arrays(tmp_path, shape=(2000, 3000), train=1, test=1)
    with pytest.raises(DataError, match=r"train_images\.npy: images of 3000 x 2000 pixels are too large to train on"):
        ArrayFiles("mine", str(tmp_path)).image_shape()
