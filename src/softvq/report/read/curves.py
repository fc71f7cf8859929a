"""The training curve of a run, from its metrics.csv."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softvq.bounded_files import read_bytes
from softvq.seals import is_curve_of

LARGEST_CURVE = 2**26  # bytes; 400,000 logged steps of a dozen numbers


def read_curve(path: Path, metrics: Mapping[str, Any]) -> dict[str, list[tuple[int, float]]]:
    """Metric -> (step, value) in the order of the rows; an unfinished last line of a killed run is left out.

    Args:
        path: of a metrics.csv.
        metrics: the run's results, with the checksum of the file; empty for a run that has none.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no training curve.
    """
    content = curve_as_written(path, metrics)
    found: dict[str, list[tuple[int, float]]] = {}
    try:
        whole = [line for line in content.decode().splitlines(keepends=True) if line.endswith("\n")]
        for row in csv.DictReader(whole, strict=True):
            step = int(float(row.pop("step")))
            for name, text in row.items():
                value = float(text) if text else math.nan
                if math.isfinite(value):
                    found.setdefault(name, []).append((step, value))
    except (csv.Error, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is no training curve: {type(error).__name__}: {error}") from None
    return found


def curve_as_written(path: Path, metrics: Mapping[str, Any]) -> bytes:
    """The content of a metrics.csv.

    Args:
        path: of the file.
        metrics: as of `read_curve`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it cannot be read, or was changed after the results were written.
    """
    content = read_bytes(path, LARGEST_CURVE)
    if not is_curve_of(metrics, content):
        raise ValueError(f"{path} is not the training curve that was written: its checksum does not match")
    return content
