"""Reads fields of a run's files; a run is damaged if a field is missing or of the wrong kind."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from softvq.bounded_files import UnreadableFileError, printable
from softvq.published import MSE, PROBE_METRICS


class DamagedRunError(ValueError):
    """A run folder whose files are not what a run writes, or disagree with one another."""


def mapping_in(path: Path, read: Callable[[Path], Any]) -> dict[str, Any] | None:
    """The mapping that a file holds; None where there is no file.

    Args:
        path: of the file.
        read: `read_json` or `read_yaml`.
    """
    try:
        content = read(path)
    except FileNotFoundError:
        return None
    except UnreadableFileError as error:
        raise DamagedRunError(f"{printable(path.name)} cannot be read: {error.reason}") from None
    if not isinstance(content, dict):
        raise DamagedRunError(f"{printable(path.name)} is not a run's: it holds no mapping")
    return content


def need(content: Mapping[str, Any], key: str, kind: Any, where: str) -> Any:
    """The value of a key, which must be of a kind; True and False do not count as numbers."""
    value = content.get(key)
    if not is_kind(value, kind):
        raise DamagedRunError(f"{where}: {key} is {'missing' if key not in content else brief(value)}")
    return value


def is_kind(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind; True and False do not count as numbers."""
    return isinstance(value, kind) and not isinstance(value, bool)


def agree(key: str, value: Any, expected: Any, file: str) -> None:
    """Refuses a value that differs from the one in `result_settings` of config.yaml; 20 and 20.0 are the same."""
    if whole_numbers(value) != whole_numbers(expected):
        raise DamagedRunError(f"{file}: {key} is {brief(value)}, config.yaml's result_settings have {brief(expected)}")


def measured_values(found: Mapping[str, Any], file: str) -> dict[str, float]:
    """The probes' fractions of 1 that were measured, and the reconstruction error where there is one."""
    probes = need(found, "probes", Mapping, file)
    values = {}
    for name in PROBE_METRICS:
        if probes.get(name) is not None:  # without labels nothing is probed
            value = float(need(probes, name, int | float, file))
            if not -1e-6 <= value <= 1 + 1e-6:
                raise DamagedRunError(f"{file}: {name} is {value}, not a fraction of 1")
            values[name] = value
    if found.get("reconstruction") is not None:
        values[MSE] = float(need(need(found, "reconstruction", Mapping, file), MSE, int | float, file))
    return values


def whole_numbers(value: Any) -> Any:
    """The same nested values with whole floats as integers."""
    if isinstance(value, Mapping):
        return {key: whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


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


def brief(value: Any) -> str:
    """A value as a message shows it, a long one cut off."""
    return repr(value)[:80]
