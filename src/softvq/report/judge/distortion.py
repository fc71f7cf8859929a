"""Models compared at equal reconstruction quality: the runs of `experiment=equal_distortion`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from softvq.report.judge.cells import Cell, Grid
from softvq.report.write.layout import ROWS, row_order

EXPERIMENT = "equal_distortion"
MSE = "test_normalized_mse"


@dataclass(frozen=True)
class Matched:
    """A model's cell whose error lies within the band, or, where none does, the one that comes nearest to it."""

    bottleneck: str
    inside: bool
    cell: Cell
    mse: float


@dataclass(frozen=True)
class Band:
    """The models on one data set whose normalized test MSE lies between low and high."""

    data: str
    setting: str
    low: float
    high: float
    models: tuple[Matched, ...]
    missing: tuple[str, ...]  # models of the paper that the experiment does not have


def bands(grids: Iterable[Grid], width: float) -> list[Band]:
    """One band a data set and setting, around the error that lets the most models take part.

    Its place follows from the errors alone, never from the probes. It holds soft VQ where soft VQ was run; of several
    such places the one with the smallest error counts.

    Args:
        grids: of the experiment's runs alone.
        width: how far the band reaches to either side, as a part of its middle.
    """
    found = []
    for grid in grids:
        for data in grid.data:
            cells = [c for c in (*grid.cells.values(), *grid.variants) if c.data == data and c.summary(MSE) is not None]
            if cells:
                found.append(_band(data, grid.setting.title, cells, width))
    return found


def _mse(cell: Cell) -> float:
    summary = cell.summary(MSE)
    assert summary is not None
    return summary.mean


def _band(data: str, setting: str, cells: Sequence[Cell], width: float) -> Band:
    errors = {id(cell): _mse(cell) for cell in cells}

    def inside(cell: Cell, middle: float) -> bool:
        return abs(errors[id(cell)] - middle) <= width * middle + 1e-12

    def worth(middle: float) -> tuple[bool, int, float]:
        models = {cell.bottleneck for cell in cells if inside(cell, middle)}
        return "soft_vq" in models, len(models), -middle

    middle = max(sorted(errors.values()), key=worth)
    models = []
    for bottleneck in sorted({cell.bottleneck for cell in cells}, key=row_order):
        nearest = min(
            (cell for cell in cells if cell.bottleneck == bottleneck),
            key=lambda cell: (abs(errors[id(cell)] - middle), cell.settings_hash or ""),
        )
        models.append(Matched(bottleneck, inside(nearest, middle), nearest, errors[id(nearest)]))
    trained = [row for row in ROWS if row not in ("raw", "untrained")]
    missing = tuple(row for row in trained if row not in {m.bottleneck for m in models})
    return Band(data, setting, middle * (1 - width), middle * (1 + width), tuple(models), missing)
