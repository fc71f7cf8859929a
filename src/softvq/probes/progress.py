"""How a probe says how far it is."""

from collections.abc import Callable

Progress = Callable[
    [int, int], None
]  # (done, total), called in the caller's own thread; the last call is (total, total)
