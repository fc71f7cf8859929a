"""All figures of one run, with their captions."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softvq.data.dataset import ImageArrays
from softvq.health import distributions
from softvq.probes import decoded_images, figures
from softvq.probes.drawing import Album, folded, image_grid
from softvq.probes.encode import Encoded
from softvq.tracking.curve import read_curve
from softvq.training.autoencoder import Autoencoder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 12  # images above their reconstructions
PATHS, PATH_STEPS = 6, 11
SAMPLES = 48
CODEWORDS = 64  # of a larger codebook, the most used ones
COLUMNS = 16  # images in a row


def draw_figures(
    album: Album,
    model: Autoencoder,
    arrays: ImageArrays,
    encoded: Encoded,
    curve: Path,
    part: str,
    seed: int,
    tsne_points: int,
) -> None:
    """Draws what there is to see of a run.

    Args:
        album: takes the figures.
        model: trained or not, on the device that is to draw.
        arrays: what was probed.
        encoded: what probing has found.
        curve: the run's training curve, a CSV file; without rows, nothing was trained.
        part: whose images are shown: `test` or `validation`.
        seed: of the t-SNE and of samples from a prior.
        tsne_points: images in the t-SNE.
    """
    history = _columns(curve)
    _draw_codes(album, arrays, encoded, history, part, seed, tsne_points)
    if not history:
        return
    names = [name.removeprefix("train/") for name in history if name.startswith("train/")]
    terms = [name for name in names if name not in encoded.health.compute()]
    caption = "The loss and its unweighted terms while training, means over the steps between two rows of metrics.csv."
    album.add("curve", "training curve", caption, partial(figures.curve, history, terms))
    if arrays.info.image_shape[-1] in (1, 3):  # others cannot be shown as a picture
        _draw_images(album, model, arrays.test_images, encoded, part, seed)


def draw_tsne(
    album: Album, codes: np.ndarray, labels: np.ndarray | None, names: Sequence[str], part: str, seed: int, points: int
) -> None:
    """Draws the map of some codes. Shapes: codes (N, d); labels (N,), numbers of `names`, or None."""
    count, total = min(points, len(codes)), len(codes)

    def tsne() -> "Figure":
        places, shown = figures.tsne_points(codes, seed, points)
        return figures.tsne(places, None if labels is None else labels[shown], names)

    album.add(
        "tsne",
        f"t-SNE of z_e, {count:,} {part} images",
        f"t-SNE (van der Maaten & Hinton, 2008) of z_e for {count:,} of the {total:,} {part} images, perplexity "
        f"{figures.tsne_perplexity(count):.0f}, seed {seed}; colours and markers are classes. A class has its name "
        "where most of the points around are its own.",
        tsne,
    )


def _draw_codes(
    album: Album, arrays: ImageArrays, encoded: Encoded, history: figures.Curve, part: str, seed: int, tsne_points: int
) -> None:
    numbers = encoded.health.compute()
    found = {name: value.numpy() for name, value in distributions(encoded.health.sums()).items()}

    draw_tsne(album, encoded.test_z_e, arrays.test_labels, arrays.info.class_names, part, seed, tsne_points)
    album.add(
        "health",
        f"health of the code, {part} set",
        f"The health panel over the {part} set: the variance of each unit of z_e, the spectrum of its covariance, the "
        "use of the codewords where there are any, and the panel's numbers while training. softvq.health says what "
        "each number means.",
        partial(figures.health, numbers, found, history),
    )
    if "chosen" in found or "posterior" in found:
        album.add(
            "codebook_use",
            f"use of the codebook, {part} set: K = {numbers['K']}, "
            + ", ".join(
                f"{name.replace('_', ' ')} {numbers[name]:.1f}" for name in figures.PERPLEXITIES if name in numbers
            ),
            f"How often each codeword is the one chosen over the {part} set, and its share of the mean posterior where "
            "the method has one; each sorted by itself. Perplexity is the exponential of the shares' entropy.",
            partial(figures.codebook_use, found.get("chosen"), found.get("posterior")),
        )


def _draw_images(album: Album, model: Autoencoder, images: np.ndarray, encoded: Encoded, part: str, seed: int) -> None:
    examples = np.asarray(images[:EXAMPLES])
    album.add(
        "reconstructions",
        f"{part} images above their reconstructions",
        f"The first {len(examples)} {part} images above what the decoder makes of their codes, noise off.",
        lambda: image_grid([examples, decoded_images.reconstructed(model, examples)], ("input", "output")),
    )
    ends = np.asarray(images[: min(2 * PATHS, len(images) // 2 * 2)])
    if len(ends):
        album.add(
            "interpolation",
            f"decoded paths between {part} images, which stand at both ends",
            f"Straight paths in {PATH_STEPS} steps between {len(ends) // 2} pairs of {part} images, which stand at the "
            "ends: what the encoder gives for the two is mixed, goes through the bottleneck and is decoded.",
            lambda: image_grid(
                _between(ends / 255, decoded_images.paths(model, ends, PATH_STEPS)), [""] * (len(ends) // 2)
            ),
        )
    samples = decoded_images.prior_samples(model, SAMPLES, seed)
    if samples is not None:
        album.add(
            "samples",
            "samples from the prior",
            f"{SAMPLES} codes drawn from the method's prior and decoded, seed {seed}.",
            lambda: image_grid(rows := folded(samples, COLUMNS), [""] * len(rows)),
        )
    use = distributions(encoded.health.sums()).get("chosen")
    if use is not None:
        _draw_codewords(album, model, use.numpy(), part)


def _between(ends: np.ndarray, paths: list[np.ndarray]) -> list[np.ndarray]:
    """Each path with the two images between which it leads. Shapes: ends (2 * n, H, W, C), a path (steps, H, W, C)."""
    pairs = zip(ends[::2], ends[1::2], strict=True)
    return [np.stack([first, *path, last]) for (first, last), path in zip(pairs, paths, strict=True)]


def _draw_codewords(album: Album, model: Autoencoder, use: np.ndarray, part: str) -> None:
    """The codewords decoded: on their grid where they lie on one, else the most used first."""
    grid = model.bottleneck.grid
    order = np.arange(len(use)) if grid else np.argsort(-use, kind="stable")[:CODEWORDS]
    decoded = decoded_images.decoded_codewords(model, order.tolist())
    if decoded is None:
        return
    where = f"on their grid of {grid[0]} x {grid[1]}" if grid else f"the most used on the {part} set first"
    album.add(
        "codewords",
        f"decoded codewords, {where} ({len(order)} of {len(use)})",
        f"Codewords decoded, each at all positions of an image, {where}: {len(order)} of {len(use)}.",
        lambda: image_grid(rows := folded(decoded, grid[1] if grid else COLUMNS), [""] * len(rows)),
    )


def _columns(curve: Path) -> dict[str, tuple[list[float], list[float]]]:
    """The curve's columns: the steps and values of each number, where there is one."""
    columns: dict[str, tuple[list[float], list[float]]] = {}
    for row in read_curve(curve):
        for name, value in row.items():
            if name != "step":
                steps, values = columns.setdefault(name, ([], []))
                steps.append(row["step"])
                values.append(value)
    return columns
