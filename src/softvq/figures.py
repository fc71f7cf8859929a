"""Pictures of a run: reconstructions, t-SNE of the codes, use of the codebook."""

import math
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with any colour vision, then greys for the last two of ten classes.
CLASS_COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000", "#999999", "#8C564B",
)  # fmt: skip
DPI = 150


def reconstructions(originals: np.ndarray, reconstructed: np.ndarray, path: Path, title: str) -> None:
    """Images in one row above what the decoder made of them.

    Shapes: originals, reconstructed (n, H, W, C) in [0, 1], C = 1 or 3.
    """
    count = len(originals)
    figure = Figure(figsize=(0.8 * count + 1.2, 2.4), layout="constrained")
    axes = figure.subplots(2, count, squeeze=False)
    for row, (images, label) in enumerate(((originals, "input"), (reconstructed, "output"))):
        for axis, image in zip(axes[row], images, strict=True):
            axis.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        axes[row, 0].set_ylabel(label)
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def tsne(features: np.ndarray, labels: np.ndarray, path: Path, seed: int, points: int, title: str) -> np.ndarray:
    """t-SNE of at most `points` codes, coloured by class.

    Shapes: features (N, d), labels (N,). Returns the embedding (min(N, points), 2).
    Reference: van der Maaten & Hinton (2008).
    """
    from sklearn.manifold import TSNE

    shown = np.sort(np.random.default_rng(seed).permutation(len(features))[:points])
    # t-SNE wants fewer neighbours than points; 30 is its usual perplexity.
    perplexity = min(30.0, max(1.0, (len(shown) - 1) / 3))
    embedding = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features[shown])
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axis = figure.subplots()
    for number, name in enumerate(np.unique(labels)):
        of_class = labels[shown] == name
        colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
        axis.scatter(*embedding[of_class].T, s=8, color=colour, label=str(name), linewidths=0)
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize=10)
    axis.legend(title="class", loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2.5, frameon=False)
    _save(figure, path)
    return embedding


def codebook_use(counts: np.ndarray, path: Path, title: str) -> None:
    """How often each codeword is used, the most used first.

    Shapes: counts (K,).
    """
    share = np.sort(counts)[::-1] / counts.sum()
    used = share[share > 0]
    perplexity = math.exp(-(used * np.log(used)).sum())
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.bar(np.arange(len(share)), 100 * share, width=1.0, color=CLASS_COLOURS[0])
    axis.axhline(100 / len(share), color="0.4", linestyle="--", linewidth=1, label="all alike")
    axis.set(xlabel="codeword, by use", ylabel="share of codes (%)", xlim=(-0.5, len(share) - 0.5))
    axis.legend(frameon=False)
    dead = len(share) - len(used)
    axis.set_title(f"{title}\nK = {len(share)}, perplexity {perplexity:.1f}, {dead} dead", fontsize=10)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    """Writes a PNG whose bytes depend on the picture alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
