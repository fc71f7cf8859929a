"""Figures of numbers: what they show, whatever a user's Matplotlib is set to; equal input gives equal bytes."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from softvq.bottlenecks.base import Latent
from softvq.health import distributions, panel, statistics
from softvq.probes import figures
from softvq.probes.drawing import COLOURS, MARKERS, Album, class_style, image_grid

DIGITS = load_digits()
CODES, LABELS = DIGITS.data[:120].astype(np.float32), DIGITS.target[:120]
NAMES = [str(number) for number in range(10)]


def album(folder: Path, *formats: str) -> Album:
    return Album(folder, "vq on digits, seed 3", formats)


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert not image.info.keys() & {"Software", "Creation Time"}
        return np.asarray(image.convert("RGB"))


def drawn_counts(K: int = 8) -> mpl.figure.Figure:
    return figures.codebook_use(np.arange(K), None)


# --- what all share


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


# --- t-SNE


def test_tsne_shows_a_subset_that_the_seed_decides():
    points, shown = figures.tsne_points(CODES, seed=0, points=60)
    again, _ = figures.tsne_points(CODES, seed=0, points=60)
    _, other = figures.tsne_points(CODES, seed=1, points=60)
    assert points.shape == (60, 2)
    np.testing.assert_array_equal(points, again)
    assert (shown != other).any()
    assert len(np.unique(shown)) == 60


def test_tsne_keeps_classes_that_lie_apart_apart():
    labels = np.tile(np.arange(3), 30)
    codes = 50 * np.eye(3)[labels] + np.random.default_rng(0).normal(size=(90, 3))
    points, shown = figures.tsne_points(codes.astype(np.float32), seed=0, points=90)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1e9 * np.eye(90)
    assert (labels[shown][distance.argmin(1)] == labels[shown]).all()


COLLAPSED = np.full((1000, 4), 0.3)  # float32's standard deviation of them is above 0, of their components 0
ALMOST = COLLAPSED[:300] + 1e-7 * (np.arange(300) == 7)[:, None]
FAINT = 1e-30 * np.random.default_rng(0).normal(size=(200, 4))  # whose squares are 0 in float32


@pytest.mark.parametrize(
    "codes",
    [np.zeros((40, 8)), np.arange(40.0)[:, None], COLLAPSED, ALMOST, FAINT],
    ids=["zeros", "one wide", "collapsed", "but for one", "faint"],
)
def test_codes_that_hardly_vary_are_drawn_too(codes):
    points, shown = figures.tsne_points(codes.astype(np.float32), 0, len(codes))
    assert np.isfinite(points).all()
    assert figures.tsne(points, shown % 4, NAMES).axes


def test_tsne_does_not_see_where_codes_lie_nor_how_large_they_are():
    points, _ = figures.tsne_points(CODES, seed=0, points=60)
    moved, _ = figures.tsne_points(1024 * CODES, seed=0, points=60)
    np.testing.assert_array_equal(points, moved)


def test_every_point_is_shown_in_its_classes_colour():
    points = np.random.default_rng(0).normal(size=(120, 2))
    (axis,) = figures.tsne(points, LABELS, NAMES).axes
    assert sum(len(group.get_offsets()) for group in axis.collections) == 120
    for number, group in enumerate(axis.collections):
        np.testing.assert_allclose(group.get_offsets(), points[number == LABELS])
        assert mpl.colors.to_hex(group.get_facecolor()[0]) == COLOURS[number].lower()
    assert [text.get_text() for text in axis.get_legend().get_texts()] == NAMES


def test_a_name_stands_where_its_class_is():
    rng = np.random.default_rng(0)
    # Class 0 lies in two parts, left and right of class 1: its mean is where class 1 is. Class 2 lies scattered in it.
    parts = {0: [(-10, 0), (10, 0)], 1: [(0, 0)]}
    points = np.concatenate([rng.normal(at, 0.5, (50, 2)) for of in parts.values() for at in of])
    labels = np.repeat([0, 0, 1], 50)
    scattered = points[::15] + 0.01
    places = figures.class_places(np.concatenate([points, scattered]), np.append(labels, np.full(len(scattered), 2)))
    assert places.keys() == {0, 1}
    assert abs(places[0][0]) == pytest.approx(10, abs=1)
    assert abs(places[1][0]) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("classes", [25, 150])
def test_many_classes_are_drawn(tmp_path, classes):
    rng = np.random.default_rng(0)
    labels = np.arange(600) % classes
    points = rng.normal(size=(classes, 2))[labels] * 20 + rng.normal(size=(600, 2))
    names = [f"class number {number}" for number in range(classes)]
    album(tmp_path).add("tsne", "many", "", lambda: figures.tsne(points, labels, names))
    assert picture(tmp_path / "tsne.png").shape[1] < 2500
    (axis,) = figures.tsne(points, labels, names).axes
    assert (axis.get_legend() is None) == (classes > figures.LEGEND_CLASSES)
    assert len(axis.collections) == classes


def test_classes_without_points_are_not_in_the_legend():
    (axis,) = figures.tsne(np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2 * 7, NAMES).axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["0", "7"]


def test_points_without_labels_have_one_colour():
    (axis,) = figures.tsne(np.random.default_rng(0).normal(size=(40, 2)), None, []).axes
    assert len(axis.collections) == 1
    assert axis.get_legend() is None


# --- codebook, health and curve


def test_codebook_use_falls_from_the_most_used_codeword():
    (axis,) = figures.codebook_use(np.array([1, 0, 6, 3]), np.array([0.4, 0.2, 0.2, 0.2])).axes
    np.testing.assert_allclose(axis.patches[0].get_data().values, [60, 30, 10, 0])
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [40, 20, 20, 20])
    assert axis.lines[1].get_ydata()[0] == 25  # if all were used alike


def of_soft_quantizer() -> dict[str, torch.Tensor]:
    z_e = torch.randn(200, 1, 6) * torch.tensor([1, 1, 1, 0.5, 0.01, 0.01])
    w = torch.softmax(torch.randn(200, 1, 16), -1)
    latent = Latent(z_e, z_e.sum(), taps={"z_e": z_e, "posterior": w, "index": w.argmax(-1)})
    return statistics(latent, torch.zeros(16, 6))


def test_health_shows_units_directions_codewords_and_every_number():
    sums = of_soft_quantizer()
    numbers, found = panel(sums), {name: value.numpy() for name, value in distributions(sums).items()}
    curve = {"train/perplexity": ([1, 2], [3.0, 4.0]), "val/perplexity": ([2], [5.0]), "train/loss": ([1, 2], [1, 1])}
    figure = figures.health(numbers, found, curve)
    units, spectrum, codebook, perplexity = (axis for axis in figure.axes if axis.get_visible())
    assert units.get_title() == "active units: 4 of 6"
    active, rest = (patch.get_data().values for patch in units.patches)
    np.testing.assert_allclose([*active, *rest], sorted(found["unit_variance"], reverse=True))
    assert len(active) == 4
    assert sum(spectrum.lines[0].get_ydata()) == pytest.approx(1)
    assert "of K = 16" in codebook.get_title()
    np.testing.assert_array_equal(perplexity.lines[0].get_ydata(), [3, 4])
    written = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [line.split(":")[0] for line in written] == [name.replace("_", " ") for name in numbers]
    assert f"mutual information: {numbers['mutual_information']:.4g} bits" in written


def test_health_of_a_plain_collapsed_code_is_drawn(tmp_path):
    z_e = torch.zeros(30, 1, 4)
    sums = statistics(Latent(z_e, z_e.sum(), taps={"z_e": z_e}), None)
    found = {name: value.numpy() for name, value in distributions(sums).items()}
    album(tmp_path).add("health", "", "", lambda: figures.health(panel(sums), found, {}))
    assert picture(tmp_path / "health.png").size > 0


def test_a_curve_has_a_panel_for_each_number():
    curve = {
        "train/loss": ([1, 2, 3], [3.0, 2.0, 1.0]),
        "val/loss": ([3], [1.5]),
        "train/kl_loss": ([1, 2], [0.0, 1.0]),
    }
    figure = figures.curve(curve, ["loss", "kl_loss"])
    loss, kl = figure.axes
    assert [len(line.get_xdata()) for line in loss.lines] == [3, 1]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["train", "val"]
    assert kl.get_title() == "kl loss"


# --- images


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
