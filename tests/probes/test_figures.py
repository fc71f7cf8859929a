"""A run's figures show what they say: t-SNE, codebook, health and curve."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from album import album, picture
from sklearn.datasets import load_digits

from softvq.bottlenecks.base import Latent
from softvq.health import distributions, panel, statistics
from softvq.probes import figures
from softvq.probes.drawing import COLOURS

DIGITS = load_digits()
CODES, LABELS = DIGITS.data[:120].astype(np.float32), DIGITS.target[:120]
NAMES = [str(number) for number in range(10)]


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
