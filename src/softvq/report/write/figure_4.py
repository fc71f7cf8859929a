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

from softvq.bounded_files import read_bytes
from softvq.published import data_name, row_name, row_order
from softvq.report.read.run import Run
from softvq.report.write.pictures import embedded, from_image
from softvq.run.agreement import FINISHED

EXPERIMENT = "figure_4"
POINTS = 2500
SEED = 0
LARGEST_CODES = 2**31  # bytes when unpacked; 60,000 codes of 256 numbers take 61 million


def panels(runs: Sequence[Run], departing: Mapping[str, str], cache: Path) -> list[dict[str, Any]]:
    """The pictures of Figure 4 with caption and folders: one a data set, or a run's own t-SNE where it kept no codes.

    Args:
        runs: of which those of the experiment count, of each model the one with the lowest seed.
        departing: folder -> how a run's settings differ from the defaults, in words.
        cache: where two-dimensional codes are kept; a t-SNE of thousands of codes takes many seconds.
    """
    found = []
    for data, group in groupby(_chosen(runs), key=lambda run: run.data):
        members = list(group)
        codes = [_embedding(run, cache) for run in members]
        drawn = [(run, found) for run, found in zip(members, codes, strict=True) if found is not None]
        if drawn:
            titles = [row_name(run.bottleneck) for run, _ in drawn]
            found.append(
                {
                    "picture": from_image(_draw(_heading(drawn), titles, [codes for _, codes in drawn])),
                    "alt": f"t-SNE of the test codes of {data_name(data)}, one panel each: {', '.join(titles)}",
                    "caption": f"{data_name(data)}: test codes, coloured by class. {_conditions(drawn, departing)}",
                    "folders": [run.folder for run, _ in drawn],
                }
            )
        found += [
            {
                "picture": embedded(run.path / "figures" / "tsne.png"),
                "alt": f"t-SNE of the test codes: {row_name(run.bottleneck)} on {data_name(data)}",
                "caption": f"{row_name(run.bottleneck)} on {data_name(data)}. {_conditions([(run, None)], departing)}",
                "folders": [run.folder],
            }
            for run, own in zip(members, codes, strict=True)
            if own is None and run.path is not None  # a table of runs holds no pictures
        ]
    return found


def _chosen(runs: Sequence[Run]) -> list[Run]:
    first: dict[tuple[str, str], Run] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.folder)):
        if run.experiment == EXPERIMENT and run.status == FINISHED:
            first.setdefault((run.data, run.bottleneck), run)
    return sorted(first.values(), key=lambda run: (run.data, row_order(run.bottleneck)))


def conditions(run: Run, departing: str) -> str:
    """Steps, seed, fidelity and protocol of a picture's run, and how its settings differ from the defaults."""
    said = f"{run.steps:,} steps, seed {run.seed}, fidelity={run.fidelity}, probes={run.protocol}, tap {run.tap}"
    return f"{said}; {departing}" if departing else said


def _conditions(drawn: Sequence[tuple[Run, Any]], departing: Mapping[str, str]) -> str:
    """The conditions of all panels: said once if they are the same, else for each panel."""
    said = {row_name(run.bottleneck): conditions(run, departing.get(run.folder, "")) for run, _ in drawn}
    if len(set(said.values())) == 1:
        return f"{next(iter(said.values()))}."
    return f"{'; '.join(f'{title}: {text}' for title, text in said.items())}."


def _heading(drawn: Sequence[tuple[Run, Any]]) -> str:
    """Data, steps and seeds of the panels."""
    steps = ", ".join(f"{n:,}" for n in sorted({run.steps or 0 for run, _ in drawn}))
    seeds = sorted({run.seed for run, _ in drawn})
    numbers = ", ".join(map(str, seeds))
    return f"{data_name(drawn[0][0].data)}, {steps} steps, seed{'s' if len(seeds) > 1 else ''} {numbers}"


def _embedding(run: Run, cache: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Points and labels of the test codes; None where there are none to read."""
    try:
        codes, labels = _codes(run.path / "latents.npz") if run.path else (np.empty(0), np.empty(0))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if len(codes) != len(labels) or len(codes) < 4 or not np.isfinite(codes).all():
        return None
    shown = np.sort(np.random.default_rng(SEED).permutation(len(codes))[:POINTS])  # the codes that `tsne_points` takes
    kept = cache / f"tsne-{hashlib.sha256(codes[shown].tobytes()).hexdigest()[:16]}"
    if not kept.with_suffix(".npy").exists():
        from softvq.probes.figures import tsne_points

        cache.mkdir(parents=True, exist_ok=True)
        points, _ = tsne_points(codes, SEED, POINTS)
        with kept.with_suffix(".part").open("wb") as file:
            np.save(file, points)
        kept.with_suffix(".part").replace(kept.with_suffix(".npy"))
    return np.load(kept.with_suffix(".npy")), labels[shown]


def _codes(latents: Path) -> tuple[np.ndarray, np.ndarray]:
    content = io.BytesIO(read_bytes(latents, LARGEST_CODES))
    with zipfile.ZipFile(content) as archive:
        if sum(part.file_size for part in archive.infolist()) > LARGEST_CODES:
            raise ValueError("the codes are larger than any that a run keeps")
    with np.load(content) as file:
        codes, labels = file["test"], file["test_labels"]
    return codes.reshape(len(codes), -1).astype(np.float32), labels


def _draw(heading: str, titles: Sequence[str], embeddings: Sequence[tuple[np.ndarray, np.ndarray]]) -> Image.Image:
    """Panels in rows of three with one legend, in the colours of the runs' own figures."""
    from softvq.probes.drawing import class_style, new_figure

    columns = min(3, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = new_figure(3.2 * columns, 3.1 * rows + 0.8)
    figure.suptitle(heading, fontsize=10)
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
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")
