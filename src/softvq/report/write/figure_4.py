"""Figure 4: the test set's codes in two dimensions, one panel a model."""

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from softvq.report.read.collect import Run
from softvq.report.write.layout import data_name
from softvq.report.write.pictures import embedded, from_image

POINTS = 2500
SEED = 0


def panels(chosen: Sequence[Mapping[str, Any]], runs: Mapping[str, Run], cache: Path) -> list[dict[str, Any]]:
    """The pictures of Figure 4 with caption and folders: one a data set, or a run's own t-SNE where it kept no codes.

    Args:
        chosen: the run of each panel: data, model, title, folder.
        runs: the runs by folder.
        cache: where two-dimensional codes are kept; a t-SNE of thousands of codes takes many seconds.
    """
    found = []
    for data, group in groupby(chosen, key=lambda panel: panel["data"]):
        members = list(group)
        embeddings = [_embedding(runs[panel["folder"]].path / "latents.npz", cache) for panel in members]
        drawn = [(panel, codes) for panel, codes in zip(members, embeddings, strict=True) if codes is not None]
        if drawn:
            titles = [panel["title"] for panel, _ in drawn]
            found.append(
                {
                    "picture": from_image(_draw(titles, [codes for _, codes in drawn])),
                    "alt": f"t-SNE of the test codes of {data_name(data)}, one panel each: {', '.join(titles)}",
                    "caption": f"{data_name(data)}: test codes z_e, coloured by class.",
                    "folders": [panel["folder"] for panel, _ in drawn],
                }
            )
        found += [
            _own_picture(panel, runs[panel["folder"]])
            for panel, codes in zip(members, embeddings, strict=True)
            if codes is None
        ]
    return found


def _own_picture(panel: Mapping[str, Any], run: Run) -> dict[str, Any]:
    text = f"{panel['title']} on {data_name(panel['data'])}"
    return {
        "picture": embedded(run.path / "figures" / "tsne.png"),
        "alt": f"t-SNE of the test codes: {text}",
        "caption": f"{text}.",
        "folders": [panel["folder"]],
    }


def _embedding(latents: Path, cache: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Points and labels of the test codes; None where there are none to read."""
    try:
        with np.load(latents) as file:
            codes, labels = file["test"], file["test_labels"]
        codes = codes.reshape(len(codes), -1).astype(np.float32)
        if len(codes) != len(labels) or len(codes) < 4 or not np.isfinite(codes).all():
            return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    shown = np.sort(np.random.default_rng(SEED).permutation(len(codes))[:POINTS])  # as tsne_points
    kept = cache / f"tsne-{hashlib.sha256(codes[shown].tobytes()).hexdigest()[:16]}"
    if not kept.with_suffix(".npy").exists():
        from softvq.probes.figures import tsne_points

        cache.mkdir(parents=True, exist_ok=True)
        points, _ = tsne_points(codes, SEED, POINTS)
        with kept.with_suffix(".part").open("wb") as file:
            np.save(file, points)
        kept.with_suffix(".part").replace(kept.with_suffix(".npy"))
    return np.load(kept.with_suffix(".npy")), labels[shown]


def _draw(titles: Sequence[str], embeddings: Sequence[tuple[np.ndarray, np.ndarray]]) -> Image.Image:
    """Panels in rows of three with one legend, in the colours of the runs' own figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from softvq.probes.drawing import class_style

    columns = min(3, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(3.2 * columns, 3.1 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    classes = np.unique(np.concatenate([labels for _, labels in embeddings]))
    for axis, title, (points, labels) in zip(axes, titles, embeddings, strict=False):
        for number, name in enumerate(classes):
            colour, marker = class_style(number)
            own = points[labels == name]
            axis.scatter(*own.T, s=4, color=colour, marker=marker, label=str(name), linewidths=0, alpha=0.8)
        axis.set(xticks=[], yticks=[])
        axis.set_title(title, fontsize=10)
    for axis in axes[len(titles) :]:
        axis.set_visible(False)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, title="class", loc="outside lower center", ncols=10, markerscale=3, frameon=False, fontsize=9
    )
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")
