"""Pictures of a run: reconstructions, t-SNE of the codes, use of the codebook.

Matplotlib and torch are imported when a figure needs them, not before. Matplotlib's global state (backend, current
figure) is left alone.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Paul Tol's "muted" colours, which any colour vision tells apart, and black. Further classes take the next marker.
COLOURS = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#000000",
)  # fmt: skip
MARKERS = "o^sDvP*X<>"
DPI = 150


def reconstructions(originals: np.ndarray, reconstructed: np.ndarray, path: Path, title: str) -> None:
    """Images in one row above what the decoder made of them.

    Shapes: originals, reconstructed (n, H, W, C), uint8 or floats in [0, 1], C = 1 or 3.
    Raises: ValueError: if the two differ in shape, or are no such images.
    """
    if originals.shape != reconstructed.shape or originals.ndim != 4 or originals.shape[-1] not in (1, 3):
        raise ValueError(
            "originals and reconstructions must both have shape (n, H, W, C) with C = 1 or 3, "
            f"got {originals.shape} and {reconstructed.shape}"
        )
    count, height, width, _ = originals.shape
    side = 0.8  # inches
    figure = _figure(side * count + 0.9, 2 * side * height / width + 0.4)
    axes = figure.subplots(2, count, squeeze=False)
    for row, images, label in zip(axes, (originals, reconstructed), ("input", "output"), strict=True):
        for axis, image in zip(row, images, strict=True):
            pixels = image / 255 if image.dtype == np.uint8 else np.clip(image, 0, 1)
            axis.imshow(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels, "gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(label)
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def tsne(features: np.ndarray, labels: np.ndarray, path: Path, seed: int, points: int, title: str) -> np.ndarray:
    """t-SNE (van der Maaten & Hinton, 2008) of at most `points` codes, coloured by class.

    Shapes: features (N, d), labels (N,). Returns the embedding (min(N, points), 2) of the codes shown.
    """
    from matplotlib.patheffects import withStroke

    shown = np.sort(np.random.default_rng(seed).permutation(len(features))[:points])
    embedding, classes = _embed(features[shown], seed), labels[shown]
    figure = _figure(6.4, 5.2)
    axis = figure.subplots()
    names = np.unique(labels)
    for number, name in enumerate(names):
        own = embedding[classes == name]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]
        axis.scatter(own[:, 0], own[:, 1], 9, colour, marker=marker, label=str(name), linewidths=0, alpha=0.8)
    for name in names:  # above all points, each name in the middle of its class
        own = embedding[classes == name]
        if len(own):
            halo = [withStroke(linewidth=3, foreground="white")]
            x, y = np.median(own, axis=0)
            axis.text(x, y, str(name), ha="center", va="center", weight="bold", path_effects=halo)
    axis.set(xticks=[], yticks=[])
    axis.set_title(f"{title} ({len(shown):,} codes)", fontsize=10)
    columns = math.ceil(len(names) / 20)
    axis.legend(title="class", loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3, frameon=False, ncols=columns)
    _save(figure, path)
    return embedding


def codebook_use(counts: np.ndarray, path: Path, title: str) -> None:
    """How often each codeword is used, the most used first; perplexity and dead codewords in the title.

    Shapes: counts (K,).
    Raises: ValueError: if no codeword is used at all.
    """
    if not counts.sum() > 0:
        raise ValueError(f"counts of {len(counts)} codewords must have a positive sum, got {counts.sum()}")
    import torch

    from softvq.bottlenecks.codebook import perplexity

    share = np.sort(counts)[::-1] / counts.sum()
    K, dead = len(share), int((share == 0).sum())
    figure = _figure(6.4, 3.2)
    axis = figure.subplots()
    axis.bar(np.arange(1, K + 1), 100 * share, width=0.8 if K <= 64 else 1, color=COLOURS[0])
    axis.axhline(100 / K, color="0.4", linestyle="--", linewidth=1, label="if all were used alike")
    axis.set(xlabel="codewords, the most used first", ylabel="share of codes (%)", xlim=(0.5, K + 0.5))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="upper right")
    axis.set_title(f"{title}\nK = {K}, perplexity {perplexity(torch.from_numpy(share)):.1f}, {dead} dead", fontsize=10)
    _save(figure, path)


def _embed(features: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    # A start from the principal components keeps the global picture; one or no varying coordinate has no two of them.
    init = "pca" if (features.std(axis=0) > 0).sum() > 1 else "random"
    # The usual 30 neighbours, or fewer where there are few points: t-SNE wants more points than neighbours.
    perplexity = min(30.0, max(1.0, (len(features) - 1) / 3))
    # One thread: gradients summed by several differ in the last bits, and t-SNE blows such bits up.
    with threadpool_limits(1):
        return TSNE(perplexity=perplexity, init=init, random_state=seed).fit_transform(features)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: no window, no global backend
    return figure


def _save(figure: "Figure", path: Path) -> None:
    """Writes a PNG whose bytes depend on the picture alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
