"""Figures of a run: what they show, and that equal input gives equal bytes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from softvq.probes import figures


@pytest.fixture
def drawn(monkeypatch) -> list[Any]:
    """The Matplotlib figures that were saved."""
    saved: list[Any] = []
    save = figures._save
    monkeypatch.setattr(figures, "_save", lambda figure, path: (saved.append(figure), save(figure, path)))
    return saved


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert not image.info.keys() & {"Software", "Creation Time"}
        return np.asarray(image.convert("RGB"))


def images(n: int, height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, height, width, channels), np.uint8)


def few_codes() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return data.data[:120].astype(np.float32), data.target[:120]


@pytest.mark.parametrize("shape", [(10, 28, 28, 1), (16, 32, 32, 3), (1, 8, 8, 1), (4, 20, 40, 3)])
def test_reconstructions_stand_below_their_originals(tmp_path, drawn, shape):
    originals = images(*shape)
    figures.reconstructions(originals, 255 - originals, tmp_path / "figures" / "r.png", "a title")
    n, height, width, _ = shape
    shown = picture(tmp_path / "figures" / "r.png")
    assert shown.shape[1] > n * width  # at least a dot a pixel
    assert shown.shape[0] > 2 * height
    (figure,) = drawn
    assert figure.get_suptitle() == "a title"
    axes = np.array(figure.axes).reshape(2, n)
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["input", "output"]
    for upper, lower, original in zip(axes[0], axes[1], originals, strict=True):
        np.testing.assert_allclose(upper.images[0].get_array(), original.squeeze() / 255)
        np.testing.assert_allclose(lower.images[0].get_array(), 1 - original.squeeze() / 255)
        assert upper.get_position().y0 > lower.get_position().y0


def test_bytes_and_fractions_show_the_same_images(tmp_path):
    x = images(3, 8, 8, 3)
    figures.reconstructions(x, x, tmp_path / "bytes.png", "same")
    figures.reconstructions(x / 255, x / 255, tmp_path / "fractions.png", "same")
    assert (tmp_path / "bytes.png").read_bytes() == (tmp_path / "fractions.png").read_bytes()


def test_images_of_two_shapes_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"got \(3, 8, 8, 1\) and \(3, 8, 9, 1\)"):
        figures.reconstructions(images(3, 8, 8, 1), images(3, 8, 9, 1), tmp_path / "r.png", "")


def test_tsne_shows_a_subset_that_the_seed_decides(tmp_path, drawn):
    codes, labels = few_codes()
    embedding = figures.tsne(codes, labels, tmp_path / "a.png", seed=0, points=60, title="digits")
    again = figures.tsne(codes, labels, tmp_path / "b.png", seed=0, points=60, title="digits")
    figures.tsne(codes, labels, tmp_path / "c.png", seed=1, points=60, title="digits")
    assert embedding.shape == (60, 2)
    np.testing.assert_array_equal(embedding, again)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()
    (axis,) = drawn[0].axes
    assert axis.get_title() == "digits (60 codes)"
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [str(name) for name in range(10)]
    assert sum(len(points.get_offsets()) for points in axis.collections) == 60


def test_tsne_keeps_classes_that_lie_apart_apart(tmp_path):
    labels = np.tile(np.arange(3), 30)
    codes = 50 * np.eye(3)[labels] + np.random.default_rng(0).normal(size=(90, 3))
    embedding = figures.tsne(codes.astype(np.float32), labels, tmp_path / "t.png", seed=0, points=90, title="")
    distance = np.linalg.norm(embedding[:, None] - embedding[None], axis=-1) + 1e9 * np.eye(90)
    neighbour = distance.argmin(1)
    order = np.sort(np.random.default_rng(0).permutation(90)[:90])
    assert (labels[order][neighbour] == labels[order]).all()


@pytest.mark.parametrize("codes", [np.zeros((40, 8)), np.arange(40.0)[:, None]], ids=["collapsed", "one wide"])
def test_codes_without_two_directions_are_drawn_too(tmp_path, codes):
    embedding = figures.tsne(codes.astype(np.float32), np.arange(40) % 4, tmp_path / "t.png", 0, 40, "few")
    assert np.isfinite(embedding).all()
    assert picture(tmp_path / "t.png").size > 0


def test_more_than_ten_classes_stay_apart_by_their_markers(tmp_path, drawn):
    codes, _ = few_codes()
    figures.tsne(codes, np.arange(120) % 25, tmp_path / "t.png", 0, 120, "many")
    looks = {
        (tuple(points.get_facecolor()[0]), points.get_paths()[0].vertices.tobytes())
        for points in drawn[0].axes[0].collections
    }
    assert len(looks) == 25


def test_codebook_use_counts_dead_codewords_and_perplexity(tmp_path, drawn):
    # Two of four codewords, each half of the time: entropy ln 2, perplexity 2.
    figures.codebook_use(np.array([0, 5, 0, 5]), tmp_path / "c.png", "vq")
    (axis,) = drawn[0].axes
    assert axis.get_title() == "vq\nK = 4, perplexity 2.0, 2 dead"
    assert [bar.get_height() for bar in axis.patches] == [50, 50, 0, 0]


@pytest.mark.parametrize("K", [2, 32, 512])
def test_codebook_use_is_a_readable_picture_of_one_size(tmp_path, K):
    figures.codebook_use(np.arange(K) + 1, tmp_path / "c.png", "vq")
    figures.codebook_use(np.arange(K) + 1, tmp_path / "again.png", "vq")
    shown = picture(tmp_path / "c.png")
    assert shown.shape == (480, 960, 3)
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 10
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_an_unused_codebook_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="counts of 8 codewords must have a positive sum, got 0"):
        figures.codebook_use(np.zeros(8, int), tmp_path / "c.png", "vq")


def test_drawing_leaves_matplotlib_as_it_was(tmp_path):
    before = dict(mpl.rcParams)
    figures.codebook_use(np.ones(4), tmp_path / "c.png", "vq")
    assert dict(mpl.rcParams) == before


def test_matplotlib_is_loaded_when_something_is_drawn():
    code = "import sys, softvq.probes.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
