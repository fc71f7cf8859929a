"""The settings that a sweep varies: the columns by which its cells are told apart."""

from collections.abc import Sequence
from itertools import islice
from math import prod

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

MOST = 100_000  # cells of a sweep, and values of a setting
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


def values_of(override: Override) -> list[str]:
    """The values that a swept override names, as overrides take them.

    Raises:
        ValueError: for an interval, and for more values than any sweep runs.
    """
    values = override.value()
    if isinstance(values, IntervalSweep):
        raise ValueError(
            f"{override.input_line} is for a search; add hydra/sweeper=search, or name values, as "
            f"{override.get_key_element()}=1,2"
        )
    # Not drawn up before it is known to be small: `shuffle` would.
    too_many = isinstance(values, RangeSweep) and len(list(islice(values.range(), MOST + 1))) > MOST
    found = [] if too_many else list(islice(override.sweep_string_iterator(), MOST + 1))
    if too_many or len(found) > MOST:
        raise ValueError(f"{override.input_line} names more than {MOST:,} values; name fewer")
    return found


def check_size(overrides: Sequence[Override]) -> None:
    """Refuses a sweep of more cells than any machine runs, before they are drawn up.

    Raises:
        ValueError: saying how many they are, or naming the override that has too many values.
    """
    swept = {override.get_key_element(): override for override in overrides if override.is_sweep_override()}
    cells = prod(len(values_of(override)) for override in swept.values())
    if cells > MOST:
        raise ValueError(
            f"{' '.join(str(o.input_line) for o in swept.values())} are {cells:,} cells; sweep fewer values"
        )
