"""Plots of a search: the number of every trial, also over each setting, and which settings mattered."""

import math
from collections.abc import Mapping
from typing import Any

from softvq.published import IN_PERCENT, label
from softvq.report.judge.entries import number_or_text
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


def searched_settings(search: Mapping[str, Any]) -> list[str]:
    """The settings that the trials differ in, the most important first."""
    keys = dict.fromkeys([*sorted(search["importance"], key=lambda key: -search["importance"][key])])
    keys |= dict.fromkeys(key for chosen in search["tried"] for key in chosen)
    return list(keys)[:MOST_SETTINGS]


def setting_plot(search: Mapping[str, Any], key: str) -> Plot:
    """The number of each trial over its value of a setting; the best trial stands out.

    Args:
        search: of an experiment: name, values, tried, choices, logarithmic, best.
        key: the setting.
    """
    scale = 100 if search["name"] in IN_PERCENT else 1
    points = [
        (chosen[key], scale * value, place == search["best"])
        for place, (chosen, value) in enumerate(zip(search["tried"], search["values"], strict=True))
        if value is not None and key in chosen
    ]
    names = sorted({at for at, _, _ in points}, key=number_or_text)
    as_numbers = key not in search["choices"] and not any(number_or_text(name)[1] for name in names)
    with figure_in_style(WIDTH, 2.7) as figure:
        axis = figure.subplots()
        at = [float(name) if as_numbers else names.index(name) for name, _, _ in points]
        axis.scatter(
            at, [value for _, value, _ in points], s=12, color=[OURS if best else QUIET for *_, best in points]
        )
        if not as_numbers:
            axis.set_xticks(range(len(names)), [plain(name) for name in names])
        elif key in search["logarithmic"] and all(float(name) > 0 for name in names):
            axis.set_xscale("log")
        axis.set_xlabel(plain(key))
        axis.set_ylabel(plain(label(search["name"])))
        axis.grid()
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
