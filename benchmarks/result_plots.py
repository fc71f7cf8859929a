"""The plots of docs/results.md that no report has."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from softvq.published import MSE, PROBE_METRICS, label, published, row_name
from softvq.report.judge.entries import Entry
from softvq.report.write.plots import OURS, PAPERS, QUIET, drawn, figure_in_style

PAPERS_ROWS = ("vae", "beta_vae")
Values = Callable[[Entry], Sequence[float]]


def scan(points: Sequence[tuple[float, Entry]], key: str, file: Path) -> None:
    """The probes' numbers, distortion and active units over a weight: seeds as dots, their means joined.

    The paper's VAE and beta-VAE are dashed lines: it does not say at which weight they lie on this axis.
    """
    panels: list[tuple[str, Values, str | None]] = [
        (label(metric), lambda e, m=metric: [100 * v for v in e.values(m).values()], metric)  # type: ignore[misc]
        for metric in PROBE_METRICS
    ]
    panels.append((label(MSE), lambda e: list(e.values(MSE).values()), None))
    panels.append(("active units", lambda e: [run.diagnostics["active_units"] for run in e.runs], None))
    with figure_in_style(9.6, 2.6) as figure:
        for axis, (name, values, metric) in zip(figure.subplots(1, len(panels)), panels, strict=True):
            _panel(axis, [(at, values(entry)) for at, entry in points])
            axis.set_title(name, fontsize=8)
            axis.set_xlabel(key)
            for row in PAPERS_ROWS if metric else ():
                value = 100 * published("mnist", row)[metric]  # type: ignore[index]
                axis.axhline(value, color=PAPERS, linestyle=(0, (4, 3)), linewidth=0.8)
                axis.annotate(
                    f"paper: {row_name(row)}",
                    (1, value),
                    xycoords=("axes fraction", "data"),
                    fontsize=6,
                    color=PAPERS,
                    ha="right",
                    va="bottom",
                )
        file.write_bytes(drawn(figure).svg)


def _panel(axis: Axes, points: Sequence[tuple[float, Sequence[float]]]) -> None:
    axis.set_xscale("log")
    for at, values in points:
        axis.scatter([at] * len(values), values, s=9, color=QUIET, linewidths=0)
    axis.plot([at for at, _ in points], [sum(v) / len(v) for _, v in points], color=OURS, marker="o", markersize=3.5)
    axis.grid()
