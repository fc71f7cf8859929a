"""The training curves of two runs in one picture."""

import io
import math
import warnings
from collections.abc import Mapping, Sequence

from softvq.probes.drawing import COLOURS
from softvq.report.write.plots import figure_in_style, plain

MOST_PANELS = 9
Curves = Mapping[str, Sequence[tuple[int, float]]]  # number -> (step, value)


def two_curves(names: tuple[str, str], curves: tuple[Curves, Curves]) -> bytes | None:
    """A panel for each number that both runs logged; None where there is none.

    Args:
        names: of the runs.
        curves: of the runs.

    Returns:
        A PNG.
    """
    shared = [name for name in curves[0] if name in curves[1]][:MOST_PANELS]
    if not shared:
        return None
    columns = min(3, len(shared))
    rows = math.ceil(len(shared) / columns)
    with figure_in_style(3.4 * columns, 2.4 * rows + 0.5) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, name in zip(panels, shared, strict=False):
            for run, own, colour, style in zip(names, curves, (COLOURS[0], COLOURS[6]), ("-", "--"), strict=True):
                axis.plot(*zip(*own[name], strict=True), style, color=colour, linewidth=1, label=plain(run))
            axis.set_title(plain(name), fontsize=8)
            axis.grid()
        for axis in panels[len(shared) :]:
            axis.set_visible(False)
        for axis in panels[-columns:]:
            axis.set_xlabel("step")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=1)
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
