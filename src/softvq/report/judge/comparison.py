"""Two runs side by side: the settings in which they differ, and their numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from softvq.report.read.fields import flat
from softvq.report.read.run import Run

Row = tuple[str, Any, Any]  # name, value of the first run, value of the second; None for a missing value


@dataclass(frozen=True)
class Comparison:
    """Two runs and their differences.

    Attributes:
        settings: those that decide the result and differ.
        circumstances: differences in where and how they ran, as the device.
        more: numbers beside probes and reconstruction error: steps, diagnostics, times.
    """

    first: Run
    second: Run
    settings: list[Row]
    circumstances: list[Row]
    more: list[Row]


def compare(first: Run, second: Run) -> Comparison:
    """Sets two runs side by side."""
    runs = (first, second)
    chosen = _rows(*({"bottleneck": run.bottleneck, "seed": run.seed, **flat(run.settings)} for run in runs))
    ran = _rows(*({"status": run.status, "commit": run.commit, "device": run.device} | _trainer(run) for run in runs))
    measured = _rows(*({"steps": run.steps, **flat(run.diagnostics), **_time(run)} for run in runs))
    return Comparison(
        first,
        second,
        settings=[row for row in chosen if row[1] != row[2]],
        circumstances=[row for row in ran if row[1] != row[2]],
        more=measured,
    )


def _rows(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Row]:
    return [(name, first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second])]


def _trainer(run: Run) -> dict[str, Any]:
    """The settings of the trainer that do not change the result."""
    settings, deciding = (flat({"trainer": part.get("trainer", {})}) for part in (run.config, run.settings))
    return {key: value for key, value in settings.items() if key not in deciding}


def _time(run: Run) -> dict[str, Any]:
    time = run.metrics.get("time")
    return {f"time.{name}": value for name, value in time.items()} if isinstance(time, Mapping) else {}
