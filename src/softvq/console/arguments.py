"""Arguments of the commands that Hydra does not read."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from softvq.bounded_files import printable


class Parser(argparse.ArgumentParser):
    """Python's own, except that what it refuses is one line, as every other error is, and nothing is abbreviated."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        self.exit(2, printable(f"error: {message}; {self.prog} --help lists the arguments") + "\n")


def path(text: str) -> Path:
    """A type of an argument: the path of a file or folder. An empty one would stand for the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must be a path, got {text!r}")
    return Path(text)


def number(kind: type[int] | type[float], least: float, below: float | None = None) -> Callable[[str], float]:
    """A type of an argument: a number within bounds.

    Args:
        kind: whole numbers or others.
        least: it is at least this.
        below: it is less than this, if anything.
    """
    whole = "a whole number" if kind is int else "a number"
    wanted = f"{whole} of at least {least}" + ("" if below is None else f" and less than {below}")

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not (value >= least and (below is None or value < below)):
            raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}")
        return value

    return read
