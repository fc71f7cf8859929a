"""Values of runs: the numbers that were measured, and settings by their dotted keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softvq.published import MSE, PROBE_METRICS
from softvq.run.fields import need
from softvq.run_folder import DamagedFileError


def measured_values(found: Mapping[str, Any], path: Path) -> dict[str, float]:
    """The probes' fractions of 1 that were measured, and the reconstruction error where there is one.

    Args:
        found: the content of a `metrics.json` or of an evaluation.
        path: of that file.

    Raises:
        DamagedFileError: if a number is missing, none, or no fraction.
    """
    probes = need(found, "probes", Mapping, path)
    values = {}
    for name in PROBE_METRICS:
        if probes.get(name) is not None:  # without labels nothing is probed
            value = float(need(probes, name, int | float, path, "probes."))
            if not -1e-6 <= value <= 1 + 1e-6:
                raise DamagedFileError(path, f"probes.{name} is {value}, not a fraction of 1")
            values[name] = value
    if found.get("reconstruction") is not None:
        errors = need(found, "reconstruction", Mapping, path)
        values[MSE] = float(need(errors, MSE, int | float, path, "reconstruction."))
    return values


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested mappings by their dotted keys; an empty mapping has none.

    Example:
        >>> flat({"bottleneck": {"K": 8, "init": {}}, "seed": 0})
        {'bottleneck.K': 8, 'seed': 0}
    """
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def as_typed(value: Any) -> str:
    """A setting's value as one would type it; `none` where it has none."""
    return "none" if value is None else str(value)
