"""Reads small files that anybody may have written: a run's own, or what lies in their place.

A run folder may have been copied from elsewhere, damaged, or made to do harm. So a file is read only if it is a regular
one (a pipe would hang for ever) and no larger than its kind ever is, YAML only without aliases (a few of them stand for
billions of values), both only to a moderate depth. What such a file says is for people to read after `printable` alone:
control characters in it would reach their terminal.
"""

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml

LARGEST_FILE = 16 * 2**20  # bytes; a training curve of 100,000 rows has about 10 million
PIECE = 2**20  # bytes that are read at a time
LARGEST_YAML = 2**20  # a configuration has about 5,000
DEEPEST = 50  # values inside values; a configuration has 6
MOST_VALUES = 200_000

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # plain values only, in C where libyaml is there
PLAIN = (str, int, float, dict, list)  # beside null
OPENINGS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
CLOSINGS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
# Controls, what turns the direction of text, line separators, halves of surrogate pairs, what is no character.
UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


class UnreadableFileError(ValueError):
    """A file that is not what a run writes.

    Attributes:
        path: of the file.
        reason: why, in words that name neither the file nor its folder.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read: {reason}")
        self.path, self.reason = path, reason


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, to be read; a symbolic link to one will do.

    Raises:
        FileNotFoundError: if there is none.
        UnreadableFileError: if it is anything else: opening a pipe would wait for somebody to write into it.
    """
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        mode = os.fstat(number).st_mode
        if not stat.S_ISREG(mode):
            raise UnreadableFileError(path, "it is a folder" if stat.S_ISDIR(mode) else "it is no regular file")
        with os.fdopen(number, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(number)


def read_bytes(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """The content of a regular file; a symbolic link to one will do.

    Args:
        path: of the file.
        largest: number of bytes that it may have.

    Raises:
        FileNotFoundError: if there is none.
        UnreadableFileError: if it is no regular file, larger, or not readable.
    """
    content = bytearray()
    with opened(path) as file:
        try:
            # Piece by piece: `read` sets aside as much memory as it is asked for.
            while len(content) <= largest and (piece := file.read(min(PIECE, largest + 1 - len(content)))):
                content += piece
        except OSError as error:
            raise _unreadable(path, error) from None
    if len(content) > largest:
        raise UnreadableFileError(path, f"it has more than {largest:,} bytes")
    return bytes(content)


def read_text(path: Path, largest: int = LARGEST_FILE) -> str:
    """The text of a regular file, as `read_bytes`.

    Raises:
        FileNotFoundError: if there is none.
        UnreadableFileError: if it is anything else, or not UTF-8.
    """
    try:
        return read_bytes(path, largest).decode()
    except UnicodeDecodeError as error:
        raise UnreadableFileError(path, f"it is no UTF-8 text ({error.reason} at byte {error.start})") from None


def read_json(path: Path) -> Any:
    """What a JSON file holds: finite numbers, nested to a moderate depth.

    Raises:
        FileNotFoundError: if there is none.
        UnreadableFileError: if it is anything else.
    """
    try:
        content = json.loads(read_text(path), parse_constant=_refuse_constant)
    except UnreadableFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, error) from None
    _check_values(path, content)
    return content


def read_yaml(path: Path) -> Any:
    """What a YAML file holds: one document of plain values without aliases, nested to a moderate depth.

    Raises:
        FileNotFoundError: if there is none.
        UnreadableFileError: if it is anything else.
    """
    text = read_text(path, LARGEST_YAML)
    try:
        _check_events(path, text)
        content = yaml.load(text, Loader=LOADER)
        _check_plain(path, content)
        return content
    except UnreadableFileError:
        raise
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from None


def printable(text: str) -> str:
    """The text on one line, with a replacement mark for each character that a terminal or a text file cannot show."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, made printable; its class's name if it says nothing."""
    return printable(str(error).partition("\n")[0]) or type(error).__name__


def printable_values(content: Any) -> Any:
    """The same nested values with every text made printable, keys included."""
    if isinstance(content, str):
        return printable(content)
    if isinstance(content, dict):
        return {printable_values(key): printable_values(value) for key, value in content.items()}
    return [printable_values(value) for value in content] if isinstance(content, list) else content


def _check_events(path: Path, text: str) -> None:
    """Looks at YAML piece by piece, before anything of it is built."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=LOADER)):
        if isinstance(event, yaml.AliasEvent):
            raise UnreadableFileError(path, f"it has an alias (*{printable(event.anchor)}), which no run writes")
        depth += isinstance(event, OPENINGS) - isinstance(event, CLOSINGS)
        _check_bounds(path, depth, number)


def _check_plain(path: Path, content: Any) -> None:
    """Refuses what YAML has beside plain values: dates, sets, bytes, and names of entries that are none."""
    for value in (value for level in _levels(content) for value in level):
        if value is not None and not isinstance(value, PLAIN):
            raise UnreadableFileError(path, f"it holds a {type(value).__name__}, which no run writes")
        if isinstance(value, dict) and not all(isinstance(key, str | int | float) for key in value):
            raise UnreadableFileError(path, "it names an entry by what is neither text nor a number")


def _check_values(path: Path, content: Any) -> None:
    """Refuses what JSON holds if it is nested too deep, or too large, or has numbers that are not finite."""
    values = 0
    for depth, level in enumerate(_levels(content)):
        values += len(level)
        _check_bounds(path, depth + any(isinstance(value, dict | list) for value in level), values)
        if not all(_is_finite(value) for value in level if isinstance(value, int | float)):
            raise UnreadableFileError(path, "it holds a number that is not finite")


def _levels(content: Any) -> Iterator[list[Any]]:
    """Nested values level by level, the outermost first; recursion would itself be bounded in depth."""
    level = [content]
    while level:
        yield level
        containers = [value for value in level if isinstance(value, dict | list)]
        level = [value for items in containers for value in (items.values() if isinstance(items, dict) else items)]


def _check_bounds(path: Path, depth: int, values: int) -> None:
    if depth > DEEPEST:
        raise UnreadableFileError(path, f"its values are nested more than {DEEPEST} deep")
    if values > MOST_VALUES:
        raise UnreadableFileError(path, f"it holds more than {MOST_VALUES:,} values")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can be
        return False


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, a number that is not finite")


def _unreadable(path: Path, error: Exception) -> UnreadableFileError:
    """What a library says, on one line and without the path that some put into it."""
    if isinstance(error, RecursionError):
        return UnreadableFileError(path, f"its values are nested more than {DEEPEST} deep")
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        return UnreadableFileError(path, printable(f"{error.problem}{line}"))
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UnreadableFileError(path, printable(said.splitlines()[0] if said else type(error).__name__))
