"""The training curves of an experiment's rows, in one plot."""

from collections.abc import Mapping, Sequence
from typing import Any

from softvq.report.read.curves import read_curve
from softvq.report.read.run import Run
from softvq.report.write.plots import MOST_LINES, Plot, training_plot

PREFERRED = ("train/reconstruction_loss", "train/loss")  # the first that some row has


def training_curves(rows: Sequence[Mapping[str, Any]], runs: Mapping[str, Run]) -> tuple[str, Plot] | None:
    """The title and the plot; None where no row has a curve.

    Args:
        rows: of an experiment; of each the run with the lowest seed is drawn.
        runs: by their folders.
    """
    curves: list[tuple[str, dict[str, list[tuple[int, float]]]]] = []
    for row in rows:
        run = runs[row["runs"][0]["folder"]] if row["runs"] else None
        curve = _curve(run) if run is not None and run.steps and len(curves) < MOST_LINES else {}
        if curve:
            curves.append((row["title"], curve))
    for name in PREFERRED:
        lines = [(title, curve[name]) for title, curve in curves if len(curve.get(name, ())) > 1]
        if lines:
            return f"{name} during training", training_plot(lines, name)
    return None


def _curve(run: Run) -> dict[str, list[tuple[int, float]]]:
    """The curve of a run; empty if its file is missing or damaged, which the plot then leaves out."""
    try:
        return read_curve(run.path / "metrics.csv", run.metrics) if run.path else {}
    except (FileNotFoundError, ValueError):
        return {}
