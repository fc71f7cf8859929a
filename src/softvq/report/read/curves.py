"""The training curve of a run, from its metrics.csv."""

import csv
import math
from pathlib import Path

from softvq.bounded_files import read_text

LARGEST_CURVE = 2**26  # bytes; 400,000 logged steps of a dozen numbers


def read_curve(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Metric -> (step, value) in the order of the rows; an unfinished last line of a killed run is left out.

    Args:
        path: of a metrics.csv.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no training curve.
    """
    whole = [line for line in read_text(path, LARGEST_CURVE).splitlines(keepends=True) if line.endswith("\n")]
    found: dict[str, list[tuple[int, float]]] = {}
    try:
        for row in csv.DictReader(whole, strict=True):
            step = int(float(row.pop("step")))
            for name, text in row.items():
                value = float(text) if text else math.nan
                if math.isfinite(value):
                    found.setdefault(name, []).append((step, value))
    except (csv.Error, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is no training curve: {type(error).__name__}: {error}") from None
    return found
