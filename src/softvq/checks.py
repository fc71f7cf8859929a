"""Checks of hyperparameters, with one wording."""


def at_least(key: str, value: float, minimum: float) -> None:
    """Refuse a hyperparameter below its minimum.

    Raises:
        ValueError: naming the key, the rule and the value.
    """
    if not value >= minimum:
        raise ValueError(f"{key} must be at least {minimum}, got {value}")
