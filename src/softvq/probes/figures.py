"""Figures of numbers: t-SNE of the codes, use of the codebook, health of the code, the training curve."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from softvq.probes.drawing import COLOURS, class_style, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEGEND_CLASSES = 30  # more do not fit beside a picture
HEALTH_HISTORY = ("perplexity", "posterior_perplexity", "active_units", "effective_rank", "rate")
PERPLEXITIES = ("perplexity", "posterior_perplexity")
UNITS = {  # of the health panel's numbers that have one; of an image, but for the entropy, which is a code's
    "rate": "bits",
    "mutual_information": "bits",
    "mutual_information_bound": "bits",
    "posterior_entropy": "nats",
}
Curve = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # `train/NAME` or `val/NAME` -> steps and values
FEW_POINTS = 10  # of a curve: each is marked
NEIGHBOURS = 15  # points around a place that say whose place it is


def tsne_points(features: np.ndarray, seed: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """t-SNE (van der Maaten & Hinton, 2008) of at most `points` codes.

    Shapes: features (N, d). Returns the embedding (n, 2) and which codes it shows (n,), n = min(N, points).
    """
    from sklearn.manifold import TSNE

    shown = np.sort(np.random.default_rng(seed).permutation(len(features))[:points])
    # Only distances' ratios count in t-SNE. Centred and scaled, codes that hardly vary (a collapsed posterior's) keep a
    # variance in float32; of one that rounds to 0, scikit-learn makes a start of infinities and dies of it.
    centred = features[shown] - features[shown].mean(axis=0, dtype=np.float64)
    varying = (np.ptp(features[shown], axis=0) > 0).sum()
    codes = (centred / (np.abs(centred).max() if varying else 1)).astype(np.float32)
    # A start from the principal components keeps the global picture; one or no varying coordinate has no two of them.
    init = "pca" if varying > 1 and len(codes) > 1 else "random"
    # One thread: gradients summed by several differ in the last bits, and t-SNE blows such bits up.
    with threadpool_limits(1):
        return TSNE(perplexity=tsne_perplexity(len(codes)), init=init, random_state=seed).fit_transform(codes), shown


def tsne_perplexity(points: int) -> float:
    """The usual 30 neighbours, or fewer where there are few points: t-SNE wants more points than neighbours."""
    return min(30.0, max(1.0, (points - 1) / 3))


def tsne(points: np.ndarray, labels: np.ndarray | None, names: Sequence[str]) -> "Figure":
    """An embedding coloured by class, with each class's name where the class is.

    Shapes: points (n, 2); labels (n,), numbers of `names`, or None.
    """
    from matplotlib.patheffects import withStroke

    figure = new_figure(6.4, 5.4)
    axis = figure.subplots()
    axis.set(xticks=[], yticks=[])
    if labels is None:
        axis.scatter(points[:, 0], points[:, 1], 9, COLOURS[0], linewidths=0, alpha=0.8)
        return figure
    present = np.unique(labels)
    for number in present:
        own = points[labels == number]
        colour, marker = class_style(number)
        axis.scatter(own[:, 0], own[:, 1], 9, colour, marker=marker, label=names[number], linewidths=0, alpha=0.8)
    for number, (x, y) in class_places(points, labels).items():
        halo = [withStroke(linewidth=3, foreground="white")]
        axis.text(x, y, names[number], ha="center", va="center", weight="bold", path_effects=halo, clip_on=True)
    if len(present) <= LEGEND_CLASSES:
        columns = math.ceil(len(present) / 20)
        axis.legend(
            title="class", loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3, frameon=False, ncols=columns
        )
    return figure


def class_places(points: np.ndarray, labels: np.ndarray) -> dict[int, np.ndarray]:
    """A point of each class among its own: where most of the points around are the class's, and lie closest.

    The mean or median of a class that lies in two parts is where other classes are. A class that is nowhere in the
    majority among its points' neighbours has no place.

    Shapes: points (n, 2), labels (n,). Returns the place (2,) by class.
    """
    from scipy.spatial import cKDTree

    k = min(NEIGHBOURS, len(points))
    distance, near = (found.reshape(len(points), k) for found in cKDTree(points).query(points, k=k))
    own_share = (labels[near] == labels[:, None]).mean(1)
    places = {}
    for number in np.unique(labels):
        own = np.flatnonzero(labels == number)
        best = own[own_share[own] == own_share[own].max()]
        if own_share[best[0]] > 0.5:
            places[int(number)] = points[best[distance[best].mean(1).argmin()]]
    return places


def codebook_use(chosen: np.ndarray | None, posterior: np.ndarray | None) -> "Figure":
    """How often each codeword is used, the most used first.

    Shapes: chosen (K,), how often each was the one chosen; posterior (K,), its summed posterior; one may be None.
    """
    figure = new_figure(6.4, 3.4)
    _codebook_use(figure.subplots(), chosen, posterior)
    return figure


def _codebook_use(axis: "Axes", chosen: np.ndarray | None, posterior: np.ndarray | None) -> None:
    K = len(chosen if chosen is not None else posterior)  # type: ignore[arg-type]
    if chosen is not None:
        axis.stairs(_shares(chosen), np.arange(K + 1) + 0.5, fill=True, color=COLOURS[1], label="chosen")
    if posterior is not None:
        axis.plot(np.arange(1, K + 1), _shares(posterior), color=COLOURS[6], label="mean posterior")
    axis.axhline(100 / K, color="0.4", linestyle="--", linewidth=1, label="if all were used alike")
    axis.set(xlabel="codewords, the most used first", ylabel="share (%)", xlim=(0.5, K + 0.5))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="upper right")


def _shares(counts: np.ndarray) -> np.ndarray:
    """Percent of the sum, the largest first."""
    return 100 * np.sort(counts)[::-1] / counts.sum()


def health(numbers: Mapping[str, float], found: Mapping[str, np.ndarray], curve: Curve) -> "Figure":
    """What the health panel's numbers sum up: units, directions and codewords, and the numbers over the training.

    Args:
        numbers: the panel.
        found: what `softvq.health.distributions` gives, as arrays.
        curve: the training curve.
    """
    history = [name for name in HEALTH_HISTORY if f"train/{name}" in curve and name in numbers]
    panels = 2 + ("chosen" in found or "posterior" in found) + len(history)
    lines = math.ceil(panels / 4)
    columns = math.ceil(panels / lines)  # rows of nearly equal length
    from matplotlib.lines import Line2D

    figure = new_figure(3.3 * columns + 1.9, 2.4 * lines + 0.6)
    axes = iter(figure.subplots(lines, columns, squeeze=False).ravel())
    axis = next(axes)
    variance = np.sort(found["unit_variance"])[::-1]
    active = numbers["active_units"]
    edges = np.arange(len(variance) + 1) + 0.5
    if active:
        axis.stairs(variance[:active], edges[: active + 1], fill=True, color=COLOURS[2], label="active")
    if active < len(variance):
        axis.stairs(variance[active:], edges[active:], fill=True, color="0.7", label="not active")
    axis.set(title=f"active units: {numbers['active_units']} of {numbers['units']}")
    _falling(axis, "units of z_e, by variance", "variance", variance)
    axis.legend(frameon=False)
    axis = next(axes)
    share = found["eigenvalues"] / max(found["eigenvalues"].sum(), np.finfo(float).tiny)
    axis.plot(np.arange(1, len(share) + 1), share, color=COLOURS[0], marker=".", markersize=3)
    axis.set(title=f"effective rank: {numbers['effective_rank']:.1f}")
    _falling(axis, "principal directions of z_e", "share of variance", share)
    if "chosen" in found or "posterior" in found:
        axis = next(axes)
        _codebook_use(axis, found.get("chosen"), found.get("posterior"))
        title = [f"{name.replace('_', ' ')} {numbers[name]:.1f}" for name in PERPLEXITIES if name in numbers]
        axis.set_title("\n".join([*title, f"of K = {numbers['K']}"]))
    for name in history:
        axis = next(axes)
        _over_steps(axis, curve, name)
        axis.set_ylim(bottom=0)
        axis.set_ylabel(UNITS.get(name, ""))
    for axis in axes:
        axis.set_visible(False)
    lines_of_text = [
        f"{name.replace('_', ' ')}: {value:.4g} {UNITS.get(name, '')}".rstrip() for name, value in numbers.items()
    ]
    handles = [Line2D([], [], linestyle="none") for _ in lines_of_text]
    figure.legend(handles, lines_of_text, loc="outside right center", frameon=False, handlelength=0)
    return figure


def curve(rows: Curve, names: Sequence[str]) -> "Figure":
    """Numbers over the training steps, a panel each; validation beside training where there is one."""
    columns = min(3, len(names))
    lines = math.ceil(len(names) / columns)
    figure = new_figure(3.1 * columns, 2.1 * lines + 0.6)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        _over_steps(axis, rows, name)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    return figure


def _over_steps(axis: "Axes", curve: Curve, name: str) -> None:
    for part, colour in (("train", COLOURS[0]), ("val", COLOURS[6])):
        if f"{part}/{name}" in curve:
            steps, values = curve[f"{part}/{name}"]
            marker = "." if len(steps) <= FEW_POINTS else ""  # a line through a single point is not to be seen
            axis.plot(steps, values, color=colour, linewidth=1.2, marker=marker, label=part)
    axis.set(title=_in_words(name), xlabel="step")
    axis.set_xlim(left=0)
    axis.spines[["top", "right"]].set_visible(False)
    if f"val/{name}" in curve:
        axis.legend(frameon=False)


def _in_words(name: str) -> str:
    """`commitment_loss` as `commitment loss`; the taps keep their names."""
    return re.sub(r"(?<!\bz)_(?=[a-z])", " ", name)


def _falling(axis: "Axes", x: str, y: str, values: np.ndarray) -> None:
    """Words and scale of an axis with falling values."""
    axis.set(xlabel=x, ylabel=y)
    if (values > 0).all() and values[0] > 100 * values[-1]:
        axis.set_yscale("log")
    axis.spines[["top", "right"]].set_visible(False)
