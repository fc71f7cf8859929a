"""What all figures share: title, caption, bytes, colours and rows of images, whatever a user's Matplotlib is set to."""

import itertools
import os
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from album import album, picture

from softvq.probes import figures
from softvq.probes.drawing import COLOURS, MARKERS, class_style, image_grid


def drawn_counts(K: int = 8) -> mpl.figure.Figure:
    return figures.codebook_use(np.arange(K), None)


def test_a_figure_says_whose_it_is_and_has_a_caption_beside_it(tmp_path):
    book, seen = album(tmp_path / "figures"), []
    book.steps = 60

    def draw() -> mpl.figure.Figure:
        seen.append(drawn_counts())
        return seen[0]

    book.add("use", "use of the codebook", "How often each is chosen.", draw)
    book.add("again", "the same", "Another caption.", drawn_counts)
    assert seen[0].get_suptitle() == "vq on digits, seed 3\nuse of the codebook"
    captions = (tmp_path / "figures" / "captions.md").read_text()
    assert "## use.png\n\nHow often each is chosen. Model: vq on digits, seed 3, after 60 steps.\n" in captions
    assert "## again.png\n\nAnother caption." in captions
    assert picture(tmp_path / "figures" / "use.png").size > 0


def test_further_formats_stand_beside_the_png(tmp_path):
    album(tmp_path, "pdf", "svg").add("use", "", "", drawn_counts)
    assert (tmp_path / "use.pdf").read_bytes().startswith(b"%PDF")
    assert b"<svg" in (tmp_path / "use.svg").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"use.png", "use.pdf", "use.svg", "captions.md"}


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path.with_name("elsewhere.txt"))])
def test_a_picture_takes_the_place_of_whatever_has_its_name(tmp_path, make):
    """A pipe would wait for a reader, and through a link somebody's file would be overwritten."""
    (tmp_path / "elsewhere.txt").write_text("somebody's")
    make(tmp_path / "map.png")
    album(tmp_path).add("map", "a map", "What it shows.", lambda: figures.new_figure(1, 1))
    assert picture(tmp_path / "map.png").shape == (150, 150, 3)
    assert not (tmp_path / "map.png").is_symlink()
    assert (tmp_path / "elsewhere.txt").read_text() == "somebody's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.md", "elsewhere.txt", "map.png"]


def test_equal_pictures_have_equal_bytes(tmp_path):
    for name in ("a", "b"):
        album(tmp_path / name, "pdf", "svg").add("use", "", "", drawn_counts)
    for suffix in ("png", "pdf", "svg"):
        assert (tmp_path / "a" / f"use.{suffix}").read_bytes() == (tmp_path / "b" / f"use.{suffix}").read_bytes()


def test_a_figure_that_cannot_be_drawn_is_a_warning(tmp_path, capsys):
    def fails() -> mpl.figure.Figure:
        raise OSError("disk full")

    book = album(tmp_path)
    book.add("use", "", "", fails)
    book.add("again", "", "", drawn_counts)
    assert "figure use could not be drawn: OSError: disk full" in capsys.readouterr().err
    assert "use.png" not in (tmp_path / "captions.md").read_text()
    assert (tmp_path / "again.png").exists()


@pytest.mark.parametrize("settings", [{"text.usetex": True}, {"font.size": 40}, {"figure.dpi": 13, "savefig.dpi": 9}])
def test_a_users_settings_do_not_reach_the_figures(tmp_path, settings):
    album(tmp_path).add("plain", "", "", drawn_counts)
    with mpl.rc_context(settings):
        before = dict(mpl.rcParams)
        album(tmp_path).add("theirs", "", "", drawn_counts)
        assert dict(mpl.rcParams) == before
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "theirs.png").read_bytes()


@pytest.mark.process
def test_matplotlib_is_loaded_when_something_is_drawn():
    code = "import sys, softvq.probes.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# What each kind of dichromat sees of linear RGB (Machado, Oliveira & Fernandes, 2009, severity 1).
SEEN_BY = {
    "anybody": np.eye(3),
    "protanopes": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopes": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopes": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.147], [0.005, 0.691, 0.304]]),
}


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_any_eyes_tell_the_colours_apart(eyes):
    linear = np.array([mpl.colors.to_rgb(colour) for colour in COLOURS]) ** 2.2
    seen = (linear @ SEEN_BY[eyes].T).clip(0, 1) ** (1 / 2.2)
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert nearest > 0.1
    white = np.linalg.norm(1 - seen, axis=1)
    assert white.min() > 0.3  # on paper


def test_a_hundred_classes_look_different():
    assert len({class_style(number) for number in range(100)}) == len(COLOURS) * len(MARKERS) == 100


@pytest.mark.parametrize("shape", [(10, 28, 28, 1), (16, 32, 32, 3), (1, 8, 8, 1), (4, 20, 40, 3)])
def test_rows_of_images_stand_below_each_other(shape):
    upper = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    lower = (255 - upper[: len(upper) // 2 + 1]) / 255 + 0.1  # fewer, and beyond white
    (axis,) = image_grid([upper, lower], ("input", "output")).axes
    shown = np.asarray(axis.images[0].get_array()).reshape(*axis.images[0].get_array().shape[:2], -1)
    _, height, width, _ = shape
    down = shown.shape[0] - height
    for number, image in enumerate(upper):
        left = number * (shown.shape[1] - width) // max(1, len(upper) - 1)
        np.testing.assert_allclose(shown[:height, left : left + width], image / 255)
        if number < len(lower):
            np.testing.assert_allclose(shown[down:, left : left + width], lower[number].clip(0, 1))
        else:
            assert (shown[down:, left : left + width] == 1).all()
    assert [label.get_text() for label in axis.get_yticklabels()] == ["input", "output"]


def test_images_of_two_channels_are_an_error():
    with pytest.raises(ValueError, match=r"C = 1 or 3, got \(3, 8, 8, 2\)"):
        image_grid([np.zeros((3, 8, 8, 2))], ("",))
