"""The plot of docs/bottlenecks.md: what a code tells of the classes against what it keeps of the image."""

import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from matplotlib.transforms import Bbox
from zoo_tables import EXPERIMENT, diagnostics, on

from softvq.published import MSE, SEES_LABELS, data_name, data_order, label
from softvq.report.judge.entries import Entry
from softvq.report.write.plots import INK, QUIET, STYLE

SHOWN = ("clustering_accuracy", "classification_accuracy")
RATES = (1.0, 128.0)  # bits; the ends of the colours
TICKS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5)
COLLAPSED, UNKNOWN = "#c0392b", "none"


def plot(entries: Sequence[Entry]) -> bytes:
    """Accuracies against distortion with the rate as colour, an SVG; a row a probe, a column a data set."""
    trained = [entry for entry in entries if entry.summary(MSE) is not None]
    names = sorted({entry.data for entry in trained}, key=data_order)
    norm = LogNorm(*RATES, clip=True)
    with mpl.rc_context({**STYLE, "svg.hashsalt": EXPERIMENT}):
        figure = Figure(figsize=(6.4 * len(names) + 0.8, 9.6), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        panels = figure.subplots(len(SHOWN), len(names), squeeze=False, sharex="col")
        for column, data in enumerate(names):
            for row, metric in enumerate(SHOWN):
                _points(panels[row][column], on(trained, data), metric, norm)
            panels[0][column].set_title(data_name(data))
            panels[-1][column].set_xlabel("MSE of the test images / variance of the training pixels")
        colours = mpl.cm.ScalarMappable(norm, "viridis")
        figure.colorbar(colours, ax=panels, label="rate (bits an image); hollow: the method names none", aspect=50)
        canvas.draw()  # only now it is known where the points lie
        figure.set_layout_engine("none")
        for (row, metric), (column, data) in itertools.product(enumerate(SHOWN), enumerate(names)):
            _names(panels[row][column], on(trained, data), metric)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def write_plot(entries: Sequence[Entry], path: Path) -> None:
    """Nothing without runs."""
    if entries:
        path.write_bytes(plot(entries))


def _place(entry: Entry, metric: str) -> tuple[float, float]:
    return mean(entry.values(MSE).values()), 100 * mean(entry.values(metric).values())


def _points(axes: Axes, entries: Sequence[Entry], metric: str, norm: LogNorm) -> None:
    axes.grid(True)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_ylabel(label(metric))
    axes.margins(0.12, 0.08)
    for entry in entries:
        rates = diagnostics(entry, "rate")
        axes.plot(
            *([value] for value in _place(entry, metric)),
            "s" if entry.bottleneck in SEES_LABELS else "o",
            mfc=mpl.colormaps["viridis"](norm(mean(rates))) if rates else UNKNOWN,
            mec=COLLAPSED if any(run.collapsed for run in entry.runs) else INK,
            ms=6,
            mew=1.2,
        )


def _names(axes: Axes, entries: Sequence[Entry], metric: str) -> None:
    """Each point's name, as near to it as no other name or point stands."""
    places = {entry.bottleneck: _place(entry, metric) for entry in entries}
    at = {name: axes.transData.transform(place) for name, place in places.items()}
    points = 72 / axes.get_figure(root=True).dpi  # a pixel here; an SVG's are others
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in at.values()]
    for name, (x, y) in sorted(at.items(), key=lambda item: (-item[1][1], item[1][0])):
        text = axes.annotate(
            name, places[name], textcoords="offset points", xytext=(0, 0), fontsize=7, va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": QUIET, "shrinkA": 0, "shrinkB": 4},
        )  # fmt: skip
        size = text.get_window_extent()
        for away, (right, up) in itertools.product(range(9, 200, 6), _DIRECTIONS):
            left = x + away * right - (size.width if right < 0 else size.width / 2 if right == 0 else 0)
            box = Bbox.from_bounds(left, y + away * up - size.height / 2, size.width, size.height)
            if axes.bbox.contains(*box.min) and axes.bbox.contains(*box.max) and not box.count_overlaps(taken):
                break
        text.set_position((points * (left - x), points * away * up))
        taken.append(box)


_DIRECTIONS = ((1, 0), (-1, 0), (1, 0.7), (-1, 0.7), (1, -0.7), (-1, -0.7), (0, 1), (0, -1))
