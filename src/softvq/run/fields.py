"""Reads fields of a run's files; a file is damaged if one is missing or of the wrong kind."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from softvq.bounded_files import UnreadableFileError, printable
from softvq.run_folder import DamagedFileError


def mapping_in(path: Path, read: Callable[[Path], Any]) -> dict[str, Any] | None:
    """The mapping that a file holds; None where there is no file.

    Args:
        path: of the file.
        read: `read_json` or `read_yaml`.

    Raises:
        DamagedFileError: if it cannot be read or holds anything else.
    """
    try:
        content = read(path)
    except FileNotFoundError:
        return None
    except UnreadableFileError as error:
        raise DamagedFileError(path, f"it cannot be read: {error.reason}") from error
    if not isinstance(content, dict):
        raise DamagedFileError(path, "it holds no mapping")
    return content


def need(content: Mapping[str, Any], key: str, kind: Any, path: Path, within: str = "") -> Any:
    """The value of a key, which must be of a kind; True and False do not count as numbers.

    Args:
        content: a mapping in the file.
        key: in that mapping.
        kind: a class or a union of classes.
        path: of the file.
        within: where in the file the mapping stands, with a dot at its end, for the message.

    Raises:
        DamagedFileError: naming the key.
    """
    value = content.get(key)
    if not is_kind(value, kind):
        found = f"{within}{key} is {brief(value)}" if key in content else f"it has no {within}{key}"
        raise DamagedFileError(path, found)
    return value


def is_kind(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind; True and False do not count as numbers."""
    return isinstance(value, kind) and not isinstance(value, bool)


def brief(value: Any) -> str:
    """A value as a message shows it, a long one cut off."""
    return printable(repr(value))[:80]


def whole_numbers(value: Any) -> Any:
    """The same nested values with whole floats as integers: 20 and 20.0 are the same setting."""
    if isinstance(value, Mapping):
        return {key: whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
