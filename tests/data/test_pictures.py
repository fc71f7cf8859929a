"""Pictures as cameras, scanners and ill-wishers make them."""

import io
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import random_images, write_picture, write_pictures
from PIL import Image

from softvq.data.image_folder import ImageFolder
from softvq.data.pictures import MAX_PICTURE_PIXELS
from softvq.data.prepared import prepare
from softvq.data.source import DataError

LOSSLESS = {"png": {}, "tiff": {}, "webp": {"lossless": True}, "bmp": {}}


def folder(path: Path, image_size: int | None = None, **split) -> ImageFolder:
    return ImageFolder("pictures", str(path), image_size, **split)


# --- formats


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_pictures_of_every_format_have_their_pixels(tmp_path, suffix):
    write_pictures(tmp_path)
    pixels = random_images(9, 6, 4, 3)
    Image.fromarray(pixels).save(tmp_path / "train" / "cat" / f"9.{suffix}", **LOSSLESS[suffix])
    np.testing.assert_array_equal(folder(tmp_path).load().train_images[3:4], pixels[None])


def test_other_files_are_counted_by_their_suffixes(tmp_path):
    write_pictures(tmp_path)
    for name in ("notes.txt", "more.TXT", "cat.gif", "README"):
        (tmp_path / "train" / "cat" / name).write_bytes(b"")
    info = prepare(folder(tmp_path), tmp_path / "train" / "cat").info
    assert info.remarks == ("skipped 4 files: 2 .txt, 1 .gif, 1 no suffix",)
    assert info.summary() == (
        "pictures: 6 training and 4 test images, 4 x 6 colour, 2 classes (cat: 5, dog: 5), "
        "skipped 4 files: 2 .txt, 1 .gif, 1 no suffix"
    )


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "bmp", "webp"])
def test_a_picture_that_would_start_a_program_is_not_opened(tmp_path, monkeypatch, suffix):
    # PIL asks Ghostscript for the pixels of an EPS, whatever the file is called.
    write_pictures(tmp_path)
    eps = io.BytesIO()
    Image.new("RGB", (4, 6)).save(eps, "EPS")
    path = tmp_path / "train" / "cat" / f"3.{suffix}"
    path.write_bytes(eps.getvalue())
    for name in ("Popen", "run", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, lambda *args, **kwargs: pytest.fail("a program was started"))
    with pytest.raises(DataError, match=rf"{path} .*cannot be read as a picture: it is none of PNG, JPEG"):
        folder(tmp_path).load()


# --- orientation


def camera(pixels: np.ndarray, orientation: int, path: Path, **options) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **options)


# What EXIF 2.3 says of the numbers: where the first row and the first column of what is stored are to be seen.
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: stored.transpose(1, 0, 2)[:, ::-1],
    7: lambda stored: stored.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda stored: stored.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_pictures_are_read_as_the_camera_was_held(tmp_path, orientation, suffix):
    stored = random_images(3, 5, 8, 3)
    expected = UPRIGHT[orientation](stored)
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
        camera(stored, orientation, tmp_path / split / "cat" / f"0.{suffix}", **LOSSLESS[suffix])
    raw = folder(tmp_path).load()
    assert folder(tmp_path).image_shape() == expected.shape
    np.testing.assert_array_equal(raw.train_images[:], expected[None])
    assert raw.remarks == (() if orientation == 1 else ("2 turned upright",))


def test_a_jpeg_is_turned_too(tmp_path):
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:, :16] = 255  # the left half is white; turned to the right, the upper half is
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
        camera(stored, 6, tmp_path / split / "cat" / "0.jpg")
    (image,) = folder(tmp_path).load().train_images[:]
    assert image.shape == (32, 16, 3)
    assert image[:12].min() > 200
    assert image[20:].max() < 50


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_png_whose_orientation_comes_last_is_refused_where_it_would_be_stretched(tmp_path):
    # Its header does not say so yet: the picture would be read at one size and shown at another.
    write_pictures(tmp_path)
    path = tmp_path / "train" / "cat" / "0.png"
    content = path.read_bytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    end = content.index(b"IEND") - 4
    path.write_bytes(content[:end] + png_chunk(b"eXIf", exif.tobytes()[6:]) + content[end:])
    with pytest.raises(DataError, match=rf"{path} is 6 x 4, unlike its header; save it again"):
        prepare(folder(tmp_path), tmp_path)
    assert prepare(folder(tmp_path, 4), tmp_path).info.train_size == 6


# --- sizes


@pytest.mark.parametrize("size", [(100_000, 100_000), (MAX_PICTURE_PIXELS, 2), (2**31 - 1, 2**31 - 1)])
def test_a_picture_that_unfolds_beyond_measure_is_refused_by_its_header(tmp_path, size):
    write_pictures(tmp_path)
    path = tmp_path / "train" / "cat" / "bomb.png"
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(10**6)),
        b"IEND": b"",
    }
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks.items()))
    with pytest.raises(DataError, match=rf"{path} (has|.*bomb).*(shrink|replace) or remove it"):
        folder(tmp_path, 8).image_shape()


def test_large_pictures_want_a_size_to_be_trained_at(tmp_path):
    for split in ("train", "test"):
        write_picture(tmp_path / split / "cat" / "0.png", np.zeros((3000, 3000, 3), np.uint8))
    with pytest.raises(DataError, match=r"images of 3000 x 3000 pixels are too large .*set data\.image_size=N"):
        folder(tmp_path).image_shape()
    assert folder(tmp_path, 64).load().train_images[:].shape == (1, 64, 64, 3)
    with pytest.raises(DataError, match=r"data\.image_size=3000: images of 3000 x 3000 pixels are too large"):
        folder(tmp_path, 3000)


# --- layouts


def test_pictures_further_down_belong_to_the_class_folder_above(tmp_path):
    write_pictures(tmp_path)
    write_picture(tmp_path / "train" / "cat" / "at home" / "2024" / "9.png", random_images(9, 6, 4, 3))
    raw = folder(tmp_path).load()
    assert raw.class_names == ("cat", "dog")
    assert raw.train_labels.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_linked_folders_are_followed_but_not_in_circles(tmp_path):
    write_pictures(tmp_path / "mine")
    (tmp_path / "mine" / "train" / "dog").rename(tmp_path / "dogs")
    (tmp_path / "mine" / "train" / "dog").symlink_to(tmp_path / "dogs")
    (tmp_path / "mine" / "train" / "cat" / "again").symlink_to(tmp_path / "mine" / "train")
    raw = folder(tmp_path / "mine").load()
    assert np.bincount(raw.train_labels).tolist() == [3, 3]


def test_pictures_without_class_folders_have_no_labels(tmp_path):
    for split, count in {"train": 5, "test": 2}.items():
        for number in range(count):
            write_picture(tmp_path / split / f"{number}.png", random_images(number + 10 * count, 6, 4, 3))
    arrays = prepare(folder(tmp_path), tmp_path)
    assert (arrays.info.classes, arrays.info.class_names) == (0, ())
    assert arrays.train_labels is arrays.test_labels is None
    assert arrays.train_images.shape == (5, 6, 4, 3)
    assert "no labels" in arrays.info.summary()
    assert arrays.info.warnings() == []
    assert prepare(folder(tmp_path), tmp_path).info == arrays.info


def test_pictures_beside_class_folders_are_left_out_and_counted(tmp_path):
    write_pictures(tmp_path)
    write_picture(tmp_path / "train" / "9.png", random_images(9, 6, 4, 3))
    raw = folder(tmp_path).load()
    assert raw.train_images.shape[0] == 6
    assert raw.remarks == ("skipped 1 file: 1 outside class folders",)


def test_class_folders_in_one_part_alone_are_refused(tmp_path):
    write_pictures(tmp_path)
    for number, path in enumerate((tmp_path / "test").rglob("*.png")):
        path.rename(tmp_path / "test" / f"{number}.png")
    with pytest.raises(DataError, match=r"only train/ has class folders; needed are .*, then in both parts"):
        folder(tmp_path).load()


@pytest.mark.parametrize("labelled", [True, False])
def test_a_folder_without_parts_is_split_by_a_seed(tmp_path, labelled):
    for number in range(20):
        name = ("cat" if number < 15 else "dog") if labelled else "."
        write_picture(tmp_path / "mine" / name / f"{number:02}.png", random_images(number, 6, 4, 3))
    with pytest.raises(DataError, match=r"has no train/ and test/; set data\.test_fraction=0\.2 "):
        folder(tmp_path / "mine").load()
    info = prepare(folder(tmp_path / "mine", test_fraction=0.2), tmp_path).info
    assert (info.train_size, info.test_size, info.duplicates) == (16, 4, 0)
    assert info.test_per_class == ((3, 1) if labelled else ())
    hashes = {
        prepare(folder(tmp_path / "mine", test_fraction=0.2, split_seed=seed), tmp_path / "other").info.sha256
        for seed in (0, 0, 1, 2)
    }
    assert len(hashes) == 3
    assert info.sha256 in hashes


def test_every_class_of_two_pictures_is_on_both_sides_of_a_split(tmp_path):
    for name, count in {"rare": 2, "single": 1, "usual": 40}.items():
        for number in range(count):
            write_picture(tmp_path / "mine" / name / f"{number}.png", random_images(number, 6, 4, 3))
    for fraction in (0.01, 0.2, 0.99):
        info = prepare(folder(tmp_path / "mine", test_fraction=fraction), tmp_path).info
        assert (info.train_per_class[0], info.test_per_class[0]) == (1, 1)
        assert (info.train_per_class[1], info.test_per_class[1]) == (1, 0)


def test_a_fraction_is_refused_where_there_is_a_test_set(tmp_path):
    write_pictures(tmp_path)
    with pytest.raises(DataError, match=r"has train/ and test/ of its own; drop data\.test_fraction"):
        folder(tmp_path, test_fraction=0.2).load()


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, "a fifth", True, float("nan")])
def test_a_fraction_that_is_none_is_refused(tmp_path, fraction):
    with pytest.raises(DataError, match=r"data\.test_fraction must be above 0 and below 1 \(or null\), got"):
        folder(tmp_path, test_fraction=fraction)


@pytest.mark.parametrize("seed", [-1, 1.5, True, None, "x", 2**32])
def test_a_split_seed_that_is_none_is_refused(tmp_path, seed):
    with pytest.raises(DataError, match=r"data\.split_seed must be a whole number of 0 or more, got"):
        folder(tmp_path, test_fraction=0.2, split_seed=seed)


def test_a_split_seed_that_draws_nothing_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"data\.split_seed=1 draws nothing without data\.test_fraction"):
        folder(tmp_path, split_seed=1)


# --- names


def test_names_of_classes_and_files_never_reach_a_terminal_raw(tmp_path):
    hostile = "cat\x1b[2J\nerror: all is lost\u202e"
    write_pictures(tmp_path, classes=(hostile, "dog"))
    info = prepare(folder(tmp_path), tmp_path).info
    assert all(name.isprintable() for name in info.class_names)
    assert info.summary().isprintable()
    path = tmp_path / "train" / hostile / "0.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError) as caught:
        prepare(folder(tmp_path), tmp_path)
    assert str(caught.value).isprintable()


def test_a_name_that_is_no_unicode_is_read_and_can_be_printed(tmp_path):
    write_pictures(tmp_path)
    raw = b"\xff\xfe"
    for split in ("train", "test"):
        (tmp_path / split / "cat").rename(tmp_path / split / raw.decode("utf-8", "surrogateescape"))
    info = prepare(folder(tmp_path), tmp_path).info
    assert prepare(folder(tmp_path), tmp_path).info == info
    assert info.summary().encode()


def test_duplicates_of_training_pictures_in_the_test_set_are_warned_of(tmp_path):
    write_pictures(tmp_path)
    copied = (tmp_path / "train" / "cat" / "0.png").read_bytes()
    (tmp_path / "test" / "dog" / "copy.png").write_bytes(copied)
    info = prepare(folder(tmp_path), tmp_path).info
    assert info.duplicates == 1
    (warning,) = info.warnings()
    assert "1 of the 5 test images are training images, too" in warning
