"""One's own pictures: what is read, what is left out, and in which words."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from image_files import (
    random_images,
    write_picture,
    write_pictures,
)
from PIL import Image

from softvq.data.image_folder import ImageFolder
from softvq.data.prepared import prepare
from softvq.data.source import DataError


def folder(path: Path, image_size: int | None = None) -> ImageFolder:
    return ImageFolder("pictures", str(path), image_size)


def test_classes_are_numbered_by_name_and_pixels_kept(tmp_path):
    write_pictures(tmp_path, classes=("zebra", "ant"))
    arrays = prepare(folder(tmp_path), tmp_path)
    assert folder(tmp_path).image_shape() == arrays.info.image_shape == (6, 4, 3)
    assert arrays.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert arrays.test_labels.tolist() == [0, 0, 1, 1]
    expected = np.asarray(Image.open(tmp_path / "train" / "zebra" / "1.png"))
    np.testing.assert_array_equal(arrays.train_images[4], expected)


def test_only_gray_pictures_have_one_channel_and_one_coloured_one_gives_all_three(tmp_path):
    write_pictures(tmp_path, shape=(6, 4))
    assert folder(tmp_path).image_shape() == (6, 4, 1)
    write_picture(tmp_path / "test" / "cat" / "9.png", random_images(9, 6, 4, 3))
    assert prepare(folder(tmp_path), tmp_path).train_images.shape == (6, 6, 4, 3)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_pictures_of_other_modes_become_rgb(tmp_path, mode):
    write_pictures(tmp_path)
    suffix = "jpg" if mode == "CMYK" else "png"
    write_picture(tmp_path / "train" / "cat" / f"9.{suffix}", np.full((6, 4, 3), 255, np.uint8), mode)
    np.testing.assert_array_equal(folder(tmp_path).load().train_images[3:4], 255)


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path):
    write_pictures(tmp_path)
    picture = Image.fromarray(np.full((6, 4, 3), 255, np.uint8)).convert("P")
    picture.save(tmp_path / "train" / "cat" / "9.png", transparency=bytes([0, 128, 255]))
    assert prepare(folder(tmp_path), tmp_path).info.train_size == 7


def test_suffixes_of_any_case_count_and_other_files_do_not(tmp_path):
    write_pictures(tmp_path)
    write_picture(tmp_path / "train" / "cat" / "9.JPG", random_images(9, 6, 4, 3))
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not a picture")
    (tmp_path / "train" / "cat" / ".hidden.png").write_text("not a picture")
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / "readme.md").write_text("not a class")
    assert folder(tmp_path).load().train_labels.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_pictures_of_two_sizes_are_named_with_the_way_out(tmp_path):
    write_pictures(tmp_path)
    write_picture(tmp_path / "test" / "dog" / "9.png", random_images(9, 5, 7, 3))
    message = rf"{tmp_path}/train/cat/0\.png is 4 x 6, .*test/dog/9\.png is 7 x 5; set data\.image_size=N"
    with pytest.raises(DataError, match=message):
        folder(tmp_path).image_shape()
    assert folder(tmp_path, 8).image_shape() == (8, 8, 3)


def test_a_shrunk_picture_is_the_mean_of_its_pixels(tmp_path):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200  # without antialiasing: 0 or 200 everywhere
    for split in ("train", "test"):
        write_picture(tmp_path / split / "stripes" / "0.png", stripes)
    image = folder(tmp_path, 4).load().train_images[0:1]
    assert image.shape == (1, 4, 4, 1)
    np.testing.assert_allclose(image, 100, atol=5)


def test_changed_added_and_removed_pictures_change_the_fingerprint(tmp_path):
    write_pictures(tmp_path)
    found = [folder(tmp_path).fingerprint()]
    write_picture(tmp_path / "train" / "cat" / "9.png", random_images(9, 6, 4, 3))
    found.append(folder(tmp_path).fingerprint())
    write_picture(tmp_path / "train" / "cat" / "9.png", np.zeros((6, 4, 3), np.uint8))
    found.append(folder(tmp_path).fingerprint())
    (tmp_path / "train" / "cat" / "9.png").unlink()
    assert len(set(found)) == 3
    assert folder(tmp_path).fingerprint() == found[0]


def test_two_sizes_of_one_folder_are_prepared_side_by_side(tmp_path):
    write_pictures(tmp_path)
    assert prepare(folder(tmp_path, 4), tmp_path).info.image_shape == (4, 4, 3)
    assert prepare(folder(tmp_path, 8), tmp_path).info.image_shape == (8, 8, 3)
    assert prepare(folder(tmp_path, 4), tmp_path).info.image_shape == (4, 4, 3)


def test_a_class_of_one_part_alone_counts_and_is_warned_of(tmp_path):
    write_pictures(tmp_path)
    (tmp_path / "test" / "dog").rename(tmp_path / "test" / "wolf")
    info = prepare(folder(tmp_path), tmp_path).info
    assert info.class_names == ("cat", "dog", "wolf")
    assert (info.train_per_class, info.test_per_class) == ((3, 3, 0), (2, 0, 2))
    untrained, untested = info.warnings()
    assert "no training image has the class wolf" in untrained
    assert "no test image has the class dog" in untested


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_missing_part_is_named_with_the_layout(tmp_path, part):
    write_pictures(tmp_path)
    shutil.rmtree(tmp_path / part)
    with pytest.raises(DataError, match=rf"data\.dir={tmp_path} has .*, but no {part}/; needed are train/CLASS"):
        folder(tmp_path).fingerprint()


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_without_pictures_is_named_with_what_else_is_there(tmp_path, part):
    write_pictures(tmp_path)
    for path in (tmp_path / part).rglob("*.png"):
        path.rename(path.with_suffix(".gif"))
    with pytest.raises(DataError, match=rf"{tmp_path}/{part} holds no picture \(skipped \d files: \d \.gif\); needed"):
        folder(tmp_path).load()


def test_folders_without_pictures_are_no_classes_and_are_told(tmp_path):
    write_pictures(tmp_path)
    (tmp_path / "train" / "empty").mkdir()
    (tmp_path / "validation").mkdir()
    raw = folder(tmp_path).load()
    assert raw.class_names == ("cat", "dog")
    assert raw.remarks == ("left out validation/, train/empty/",)


@pytest.mark.parametrize("keep", [0, 20, 60])
def test_a_broken_picture_is_named(tmp_path, keep):
    write_pictures(tmp_path)
    path = tmp_path / "train" / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        DataError, match=rf"{path} \({keep} bytes\) cannot be read as a picture: .*replace or remove it"
    ):
        prepare(folder(tmp_path), tmp_path)


def test_pictures_with_16_bits_are_refused(tmp_path):
    write_pictures(tmp_path)
    path = tmp_path / "train" / "dog" / "1.png"
    Image.fromarray(np.full((6, 4), 60000, np.uint16)).save(path)
    with pytest.raises(DataError, match=rf"{path} has more than 8 bits a pixel .*save it with 8 bits"):
        folder(tmp_path).load()


def test_an_image_size_below_one_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"data\.image_size must be at least 1, got 0; leave it out"):
        folder(tmp_path, 0)
