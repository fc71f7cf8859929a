"""The plots of docs/results.md that no report has."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes

from softvq.published import MSE, PROBE_METRICS, label, published, row_name
from softvq.report.judge.entries import Entry
from softvq.report.judge.statistics import FEWEST_SEEDS, summarize
from softvq.report.write.plots import OURS, PAPERS, QUIET, drawn, figure_in_style

PAPERS_ROWS = {"vae": (0, (4, 3)), "beta_vae": (0, (1, 1.5))}  # and the style of its line
FAR_BELOW = 0.5  # of the median of percentages
Values = Callable[[Entry], Sequence[float]]


def scan(points: Sequence[tuple[float, Entry]], key: str, file: Path) -> None:
    """The probes' numbers, distortion and active units over a weight: seeds as dots, means joined, with intervals.

    The paper's VAE and beta-VAE are lines across: it does not say at which weight they lie on this axis. A mean far
    below the others, as that of an empty code, is an arrow at the lower edge with its value.
    """
    panels: list[tuple[str, Values, str | None]] = [
        (label(metric), lambda e, m=metric: [100 * v for v in e.values(m).values()], metric)  # type: ignore[misc]
        for metric in PROBE_METRICS
    ]
    panels.append((label(MSE), lambda e: list(e.values(MSE).values()), None))
    panels.append(("active units", lambda e: [run.diagnostics["active_units"] for run in e.runs], None))
    with figure_in_style(9.6, 2.9) as figure:
        for axis, (name, values, metric) in zip(figure.subplots(1, len(panels)), panels, strict=True):
            for row in PAPERS_ROWS if metric else ():
                value = 100 * published("mnist", row)[metric]  # type: ignore[index]
                axis.axhline(
                    value, color=PAPERS, linestyle=PAPERS_ROWS[row], linewidth=1, label=f"paper: {row_name(row)}"
                )
            _panel(axis, [(at, values(entry)) for at, entry in points])
            axis.set_title(name, fontsize=8)
            axis.set_xlabel(key)
        axis = figure.axes[0]
        for face, name in ((OURS, "ours: mean, 95 % interval"), ("white", "ours: mean of fewer than three seeds")):
            axis.plot([], [], color=OURS, marker="o", markersize=3.5, mfc=face, linewidth=1, label=name)
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=7)
        file.write_bytes(drawn(figure).svg)


def _panel(axis: Axes, points: Sequence[tuple[float, Sequence[float]]]) -> None:
    axis.set_xscale("log")
    for number, (at, values) in enumerate(points):
        axis.scatter([at] * len(values), values, s=9, color=QUIET, linewidths=0, label="" if number else "ours: a seed")
    means = [(at, sum(values) / len(values)) for at, values in points]
    middle = median(mean for _, mean in means)
    shown = [(at, mean) for at, mean in means if mean > FAR_BELOW * middle or middle < 20]
    axis.plot(*zip(*shown, strict=True), color=OURS, linewidth=1)
    for at, found in [(at, summarize(values)) for at, values in points if at in dict(shown)]:
        filled = found.n >= FEWEST_SEEDS
        look = {"color": OURS, "marker": "o", "markersize": 3.5, "linewidth": 1, "mfc": OURS if filled else "white"}
        axis.errorbar(at, found.mean, found.half_width, **look)
    for at, mean in set(means) - set(shown):
        others = [value for at, values in points for value in values if at in dict(shown)]
        axis.set_ylim(bottom=min(others) - 0.1 * (max(others) - min(others)))
        edge = axis.get_xaxis_transform()
        axis.plot(at, 0.06, color=OURS, marker="v", markersize=4, transform=edge)
        axis.text(at, 0.1, f"{mean:.0f}", color=OURS, fontsize=6, ha="center", transform=edge)
    axis.grid()
