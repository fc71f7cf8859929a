"""Checks of hyperparameters, with one wording."""

import math
from numbers import Integral, Real


def at_least(key: str, value: float, minimum: float, whole: bool = False) -> None:
    """Refuse a hyperparameter that is no finite number, or below its minimum.

    Args:
        key: as it is written on the command line.
        value: what it was set to.
        minimum: the smallest value it may have.
        whole: only integers will do.

    Raises:
        ValueError: naming the key, the rule and the value.
    """
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or math.isinf(value):
        raise ValueError(f"{key} must be a {'whole' if whole else 'finite'} number, got {value!r}")
    if not value >= minimum:
        raise ValueError(f"{key} must be at least {minimum}, got {value}")


def between(key: str, value: float, minimum: float, maximum: float) -> None:
    """Refuse a hyperparameter that is no number of an interval, bounds included.

    Raises:
        ValueError: naming the key, the rule and the value.
    """
    at_least(key, value, minimum)
    if value > maximum:
        raise ValueError(f"{key} must be at most {maximum}, got {value}")
