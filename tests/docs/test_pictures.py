"""The committed pictures of codes are those that the code of today would draw: its titles and its palette.

`python benchmarks/pictures.py` draws them anew.
"""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from cells import ROOT
from PIL import Image

from softvq.probes.drawing import COLOURS, Album
from softvq.probes.run_figures import draw_tsne

DOCS = ROOT / "docs"
ALPHA = 0.8  # of the points


def opened(path: Path) -> tuple[np.ndarray, dict[str, str]]:
    """The pixels (H, W, 3) and the texts of a PNG."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")), dict(picture.text)  # type: ignore[attr-defined]


def on_paper(colour: str) -> tuple[int, ...]:
    """A point's colour on white."""
    return tuple(round(255 * (ALPHA * part + 1 - ALPHA)) for part in mpl.colors.to_rgb(colour))


@pytest.mark.parametrize("name", ["soft_vq_mnist.png", "figure_4.png"])
def test_a_committed_picture_has_the_palette(name: str) -> None:
    """In the legend, at least, a point of each class stands by itself."""
    pixels = opened(DOCS / name)[0].reshape(-1, 3).astype(int)
    for colour in COLOURS:
        near = np.abs(pixels - on_paper(colour)).max(1) <= 20  # a picture may have been reduced to 256 colours
        assert near.sum() > 20, f"{name} lacks {colour}: draw it anew by benchmarks/pictures.py"


@pytest.mark.slow
def test_the_committed_map_has_the_title_that_is_written_today(tmp_path: Path) -> None:
    committed, texts = opened(DOCS / "soft_vq_mnist.png")
    label = texts["Title"].partition(":")[0]
    assert re.fullmatch(r"soft_vq on mnist(, [\w=.]+)*, seed \d", label)
    codes = np.random.default_rng(0).normal(size=(2500, 2))
    labels = np.arange(2500) % 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softvq.probes.figures.tsne_points", lambda codes, seed, points: (codes, np.arange(len(codes))))
        draw_tsne(Album(tmp_path, label, []), codes, labels, [str(n) for n in range(10)], "test", 0, 2500)
    drawn, own_texts = opened(tmp_path / "tsne.png")
    assert own_texts["Title"] == texts["Title"]
    assert drawn.shape == committed.shape
