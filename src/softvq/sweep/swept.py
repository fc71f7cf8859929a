"""The settings that a sweep varies: the columns by which its cells are told apart."""

from collections.abc import Sequence

USUAL = ("data", "bottleneck", "seed")  # these always have a column, by the names that the run gave them


def overrides_of(cell: Sequence[str]) -> dict[str, str]:
    """Setting -> value of a cell, as they were typed; the last one of a setting counts."""
    pairs = (override.partition("=") for override in cell)
    return {key.lstrip("+"): value for key, _, value in pairs}


def swept_keys(cells: Sequence[Sequence[str]]) -> list[str]:
    """The settings whose values differ between cells, in the order in which they were typed; not the usual ones."""
    values: dict[str, set[str | None]] = {}
    typed = [overrides_of(cell) for cell in cells]
    for key in dict.fromkeys(key for overrides in typed for key in overrides):
        values[key] = {overrides.get(key) for overrides in typed}
    return [key for key, different in values.items() if len(different) > 1 and key not in USUAL]


def headings(keys: Sequence[str]) -> list[str]:
    """Short names for settings: the last part of each, or all of it where two would be alike."""
    short = [key.rpartition(".")[2] for key in keys]
    clear = [name for name in short if short.count(name) == 1 and name not in USUAL]
    return [name if name in clear else key for name, key in zip(short, keys, strict=True)]
