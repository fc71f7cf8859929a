"""Plots of a search: the number of every trial, and which settings mattered."""

import math
from collections.abc import Mapping
from typing import Any

from softvq.published import IN_PERCENT, label
from softvq.report.write.plots import OURS, QUIET, WIDTH, Plot, drawn, figure_in_style, plain

MOST_SETTINGS = 12


def history_plot(search: Mapping[str, Any]) -> Plot:
    """The number of each trial as a dot, in their order, and the best so far as a line.

    Args:
        search: of an experiment: name, direction, values.
    """
    scale = 100 if search["name"] in IN_PERCENT else 1
    points = [(at, scale * value) for at, value in enumerate(search["values"]) if value is not None]
    better = max if search["direction"] == "maximize" else min
    best, so_far = -math.inf if better is max else math.inf, []
    for _, value in points:
        best = better(best, value)
        so_far.append(best)
    with figure_in_style(WIDTH, 2.7) as figure:
        axis = figure.subplots()
        trials, values = [at for at, _ in points], [value for _, value in points]
        axis.step(trials, so_far, where="post", color=OURS, linewidth=1.2, label="best so far")
        axis.scatter(trials, values, s=12, color=QUIET, zorder=3, label="a trial")
        axis.set_xlabel("trial")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_ylabel(plain(label(search["name"])))
        axis.grid()
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return drawn(figure)


def importance_plot(importance: Mapping[str, float]) -> Plot:
    """How much of the differences between trials each setting explains, the most important on top."""
    largest = sorted(importance.items(), key=lambda item: -item[1])[:MOST_SETTINGS]
    with figure_in_style(WIDTH, 0.8 + 0.25 * len(largest)) as figure:
        axis = figure.subplots()
        axis.barh([plain(key) for key, _ in reversed(largest)], [value for _, value in reversed(largest)], color=OURS)
        axis.set_xlabel("importance (parts of 1)")
        axis.grid(axis="x")
        axis.set_axisbelow(True)
        return drawn(figure)
