"""Packages that softvq works without, and the extra of `softvq` that brings each."""

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ValueError):
    """Something was asked for that needs a package which is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs the package {package}; pip install 'softvq[{extra}]' brings it")


@contextmanager
def needed(what: str, extra: str) -> Iterator[None]:
    """Says which extra brings a package that is imported inside and is not installed.

    Args:
        what: needs the package, as it is written on the command line.
        extra: brings it.

    Raises:
        MissingExtraError: if the package is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, (error.name or "").partition(".")[0], extra) from error
