"""Plots of results: values over seeds beside the paper's, numbers over a varied setting, training curves.

Each is an SVG of a column's width, so that a page shows several side by side and a phone one below the other.
"""

import base64
import io
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from softvq.bounded_files import printable
from softvq.probes.drawing import COLOURS, MARKERS
from softvq.published import IN_PERCENT, label, published, row_name
from softvq.report.write.pictures import Picture

WIDTH = 4.0  # inches; shown at about 390 pixels, so that 8 points are about 10 pixels
PIXELS_PER_INCH = 96
MOST_ROWS = 40
DECADE = 8  # times as large, about a power of ten: from there on an axis is logarithmic
APART = 3.0  # points between the marks of two lines at one place
HALF_A_LINE = 32  # characters of a legend that has two columns
MOST_LINES = 8  # as many as colours and markers tell apart
INK, QUIET, OURS, PAPERS = "#1b1f27", "#8a93a3", COLOURS[0], COLOURS[6]
STYLE = {
    "font.size": 8,
    "font.family": ["DejaVu Sans", "sans-serif"],
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#d5d9e0",
    "grid.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: small, and sharp at any size
    "svg.hashsalt": "softvq",  # equal plots are equal bytes
}


@dataclass(frozen=True)
class Plot:
    """A plot as SVG."""

    svg: bytes
    picture: Picture


def results_plot(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> Plot:
    """One line a row and one panel a metric: seeds as dots, mean and 95 % interval, the paper's number as a diamond.

    Args:
        rows: of an experiment, with title, metrics and runs.
        metrics: the panels, from left to right.
    """
    shown = rows[:MOST_ROWS]
    titles = [_wrapped(row["title"]) for row in shown]
    height = 0.55 + 0.155 * sum(title.count("\n") + 1.5 for title in titles)
    with figure_in_style(WIDTH if len(metrics) == 1 else 1.2 + 2.1 * len(metrics), height) as figure:
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axis, metric in zip(panels, metrics, strict=True):
            _results(axis, shown, metric)
            axis.set_xlabel(label(metric))
            axis.locator_params(axis="x", nbins=5)
            axis.grid(axis="x")
            axis.set_ylim(0.6 - len(shown), 0.6)
            axis.tick_params(axis="y", length=0)
            axis.spines["left"].set_visible(False)
        panels[0].set_yticks([-place for place in range(len(shown))], titles)
        if len(metrics) > 1:  # such a plot is also shown alone, and explains its marks
            _explain(figure, panels[0])
        return drawn(figure)


def _results(axis: Any, rows: Sequence[Mapping[str, Any]], metric: str) -> None:
    """A metric of all rows, the first on top."""
    scale = 100 if metric in IN_PERCENT else 1
    measured = [(-place, row, row["metrics"][metric]) for place, row in enumerate(rows) if metric in row["metrics"]]
    seeds = [(run["values"].get(metric), place) for place, row, _ in measured for run in row["runs"]]
    means = [(found["mean"], place) for place, _, found in measured]
    papers = [(found["paper"], place) for place, _, found in measured]
    intervals = [(found["interval"], place) for place, _, found in measured if found["interval"]]

    def points(marks: Sequence[tuple[float | None, int]], **look: Any) -> None:
        known = [(scale * value, place) for value, place in marks if value is not None]
        axis.scatter([value for value, _ in known], [place for _, place in known], **look)

    points(seeds, s=9, color=QUIET, linewidths=0, zorder=2)
    lows, highs = ([scale * ends[end] for ends, _ in intervals] for end in (0, 1))
    axis.hlines([place for _, place in intervals], lows, highs, color=OURS, linewidth=1.6, zorder=3)
    points(means, s=30, color=OURS, linewidths=0, zorder=4)
    points(papers, s=34, marker="D", facecolor="none", edgecolor=PAPERS, zorder=5)


def _explain(figure: Any, axis: Any) -> None:
    """A legend of what the marks mean."""
    seed = axis.scatter([], [], s=9, color=QUIET, linewidths=0)
    mean = axis.scatter([], [], s=30, color=OURS, linewidths=0)
    interval = axis.hlines([], [], [], color=OURS, linewidth=1.6)
    paper = axis.scatter([], [], s=34, marker="D", facecolor="none", edgecolor=PAPERS)
    names = ["one seed", "mean over seeds", "95 % interval, from three seeds on", "the paper's number"]
    figure.legend([seed, mean, interval, paper], names, loc="outside lower center", ncols=4)


def sweep_plot(curve: Mapping[str, Any], metric: str, names: Sequence[str] = ()) -> Plot:
    """A number over a varied setting: seeds as small dots, means joined by lines, intervals, the paper's rows dashed.

    Args:
        curve: of an experiment: key, heading, lines.
        metric: the number.
        names: bottlenecks whose numbers in the paper are drawn in, where the lines are all of one of its data sets.
    """
    scale = 100 if metric in IN_PERCENT else 1
    from matplotlib.transforms import offset_copy

    with figure_in_style(WIDTH, 2.7) as figure:
        axis = figure.subplots()
        drawn_lines = curve["lines"][:MOST_LINES]
        for number, line in enumerate(drawn_lines):
            # Side by side, so that no interval hides another.
            aside = APART * (number - (len(drawn_lines) - 1) / 2)
            beside = offset_copy(axis.transData, figure, x=aside, units="points")
            points = [point for point in line["points"] if metric in point["metrics"]]
            at = [point["at"] for point in points]
            means = [scale * point["metrics"][metric]["mean"] for point in points]
            look = {"color": COLOURS[number], "marker": MARKERS[number]}
            axis.plot(at, means, label=plain(line["title"]), linewidth=1.2, markersize=4, transform=beside, **look)
            axis.update_datalim(list(zip(at, means, strict=True)))  # which a transform of one's own is left out of
            for point in points:
                values = [scale * value for value in point["values"][metric]]
                axis.update_datalim([(point["at"], value) for value in values])
                if len(values) > 1:
                    places = [point["at"]] * len(values)
                    axis.scatter(places, values, s=5, color=COLOURS[number], alpha=0.6, transform=beside)
                if ends := point["metrics"][metric]["interval"]:
                    low, high = (scale * end for end in ends)
                    axis.update_datalim([(point["at"], low), (point["at"], high)])
                    axis.vlines(point["at"], low, high, color=COLOURS[number], linewidth=0.8, transform=beside)
        for name, value in _papers_numbers(curve, metric, names):
            axis.axhline(scale * value, color=PAPERS, linestyle=(0, (4, 3)), linewidth=0.8)
            axis.annotate(
                f"paper: {row_name(name)}",
                (1, scale * value),
                xycoords=("axes fraction", "data"),
                fontsize=6,
                color=PAPERS,
                ha="right",
                va="bottom",
            )
        axis.margins(x=0.08)
        axis.autoscale_view()
        _scale_axis(axis, sorted({point["at"] for line in curve["lines"] for point in line["points"]}))
        axis.set_xlabel(plain(curve["heading"]))
        axis.set_ylabel(label(metric))
        axis.grid()
        _legend(figure, axis, len(curve["lines"]))
        return drawn(figure)


def _papers_numbers(curve: Mapping[str, Any], metric: str, names: Sequence[str]) -> Iterator[tuple[str, float]]:
    data = {line["data"] for line in curve["lines"]}
    for name in names if len(data) == 1 else ():
        value = published(min(data), name).get(metric)
        if value is not None:
            yield name, value


def training_plot(curves: Sequence[tuple[str, Sequence[tuple[int, float]]]], name: str) -> Plot:
    """A number over the steps of training, a line a row.

    Args:
        curves: title and (step, value) of each line.
        name: of the number, as its column in `metrics.csv` is called.
    """
    with figure_in_style(WIDTH, 2.7) as figure:
        axis = figure.subplots()
        for number, (title, points) in enumerate(curves[:MOST_LINES]):
            axis.plot(*zip(*points, strict=True), label=plain(title), color=COLOURS[number], linewidth=1)
        values = [value for _, points in curves[:MOST_LINES] for _, value in points]
        if min(values) > 0 and max(values) / min(values) >= DECADE:
            axis.set_yscale("log")
        axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel("step")
        stage, _, number_of = name.rpartition("/")
        axis.set_ylabel(plain(f"{number_of.replace('_', ' ')} ({stage})" if stage else number_of))
        axis.grid()
        _legend(figure, axis, len(curves))
        return drawn(figure)


def _scale_axis(axis: Any, values: Sequence[float]) -> None:
    """Logarithmic where values span about a power of ten or more, linear near 0 where one is 0."""
    positive = [value for value in values if value > 0]
    if len(positive) > 1 and min(values) >= 0 and max(positive) / min(positive) >= DECADE:
        axis.set_xscale("symlog" if 0 in values else "log", **({"linthresh": min(positive)} if 0 in values else {}))
    if len(values) <= 12:
        axis.set_xticks(values, [f"{value:g}" for value in values], minor=False)
        axis.set_xticks([], minor=True)


def _legend(figure: Any, axis: Any, lines: int) -> None:
    if lines > 1:
        more = f"and {lines - MOST_LINES} more, in the table" if lines > MOST_LINES else None
        handles, names = axis.get_legend_handles_labels()
        columns = 2 if max(map(len, names)) <= HALF_A_LINE else 1
        names = ["\n".join(textwrap.wrap(name, 2 * HALF_A_LINE)) for name in names]
        figure.legend(handles, names, loc="outside lower center", ncols=columns, title=more, title_fontsize=7)
    elif lines == 1:
        title = "\n".join(textwrap.wrap(axis.get_legend_handles_labels()[1][0], 60))
        axis.set_title(title, fontsize=7, loc="left")


@contextmanager
def figure_in_style(width: float, height: float) -> Iterator[Any]:
    """A figure in the report's style, whatever a user's matplotlibrc says."""
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure


def drawn(figure: Any) -> Plot:
    """The finished plot of a figure."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's font may have the glyph
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    source = f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    width, height = (round(PIXELS_PER_INCH * inches) for inches in figure.get_size_inches())
    return Plot(buffer.getvalue(), Picture(source, width, height))


def plain(text: str) -> str:
    """Text that matplotlib takes literally."""
    return printable(text).replace("$", r"\$")


def _wrapped(text: str) -> str:
    """A row's name on up to four lines, that of a setting beside its value; what is left over is in the table."""
    unbroken = plain(text).replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    return "\n".join(textwrap.wrap(unbroken, 26, max_lines=4, placeholder=" …"))
