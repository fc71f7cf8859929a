"""Streams to which writing never fails."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO


class SafeStream:
    """A stream to which writing never fails: what cannot be written does not cost a run its results.

    A character that its encoding lacks becomes a question mark. When nobody reads it any longer, as after `| head`, or
    its disk is full, the rest is dropped.

    Args:
        current: gives the stream, which may change; None for one that was closed before the program began.
    """

    def __init__(self, current: Callable[[], TextIO | None]) -> None:
        self.current = current

    @property
    def encoding(self) -> str:
        return getattr(self.current(), "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        stream = self.current()
        with suppress(ValueError, OSError):  # closed
            return stream is not None and stream.isatty()
        return False

    def fileno(self) -> int:
        stream = self.current()
        if stream is None:
            raise OSError("the stream is closed")
        return stream.fileno()

    def write(self, text: str) -> int:
        self._try(lambda stream: _write(stream, text))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def _try(self, action: Callable[[TextIO], None]) -> None:
        stream = self.current()
        if stream is None:
            return
        try:
            action(stream)
        except BrokenPipeError:
            # Else Python fails on what is left to be written when it ends.
            with suppress(ValueError, OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
        except (ValueError, OSError):  # closed, or no room
            pass


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        stream.write(text.encode(stream.encoding, "replace").decode(stream.encoding))
