"""Selects and sorts rows of the table of runs, by column names as people type them."""

import re
from typing import TYPE_CHECKING, Any

from softvq.config.compose import nearest
from softvq.report.read.table import FIRST

if TYPE_CHECKING:
    import pandas as pd

SETTING = re.compile(r"(bottleneck|network|data|optimizer|trainer|probes)\.[A-Za-z]\w*|penalty_weight")
NICKNAMES = {
    "clustering": "probes.clustering_accuracy",
    "nmi": "probes.clustering_nmi",
    "classification": "probes.classification_accuracy",
    "mse": "reconstruction.test_normalized_mse",
}


def column(runs: "pd.DataFrame", name: str) -> str:
    """The column that a name stands for: its own, a nickname, or the last part of a dotted key.

    Example:
        >>> import pandas as pd
        >>> runs = pd.DataFrame({"bottleneck.K": [8], "probes.clustering_nmi": [0.5], "seed": [0]})
        >>> column(runs, "seed"), column(runs, "nmi"), column(runs, "K")
        ('seed', 'probes.clustering_nmi', 'bottleneck.K')

    Raises:
        ValueError: naming what there is, if there is no such column, or several that differ.
    """
    if name in runs:
        return name
    if name in NICKNAMES and NICKNAMES[name] in runs:
        return NICKNAMES[name]
    found = sorted((key for key in runs if key.endswith(f".{name}")), key=len)
    if found and all(_texts(runs, key) == _texts(runs, found[0]) for key in found):  # as network.d and bottleneck.d
        return found[0]
    if found:
        raise ValueError(f"{name} may be any of {', '.join(found)}; name one of them")
    settings = [key for key in runs if SETTING.fullmatch(key) and len(set(_texts(runs, key))) > 1]
    there_are = ", ".join([*NICKNAMES, *FIRST, *settings])
    meant = next((key for key in runs if key.lower() == name.lower()), name)
    raise ValueError(f"runs have no {name}{nearest(meant, [*NICKNAMES, *runs])}; there are {there_are}")


def where(runs: "pd.DataFrame", condition: str) -> "pd.DataFrame":
    """The rows in which a column has a value, or one of several separated by commas.

    Args:
        runs: the table.
        condition: `NAME=VALUE` or `NAME=VALUE,VALUE`; numbers are compared as numbers, `none` is a missing value.

    Raises:
        ValueError: if it is no such condition, or names a column or a value that there is not.
    """
    name, equals, values = condition.partition("=")
    if not equals or not name:
        raise ValueError(f"a condition is NAME=VALUE, as bottleneck=vq, got {condition!r}")
    key = column(runs, name)
    texts = _texts(runs, key)
    for value in values.split(","):
        if len(runs) and not any(_same(text, value) for text in texts):
            present = ", ".join(sorted(set(texts), key=lambda text: (len(text), text)))
            raise ValueError(f"no run has {name}={value}{nearest(value, texts)}; there are {present}")
    return runs[[any(_same(text, value) for value in values.split(",")) for text in texts]]


def ordered(runs: "pd.DataFrame", name: str) -> "pd.DataFrame":
    """The rows sorted by a column: probes from the best on, anything else from the smallest value on.

    Raises:
        ValueError: if there is no such column.
    """
    key = column(runs, name)
    larger_first = key.startswith("probes.") and key in NICKNAMES.values()
    kinds = {type(value) for value in runs[key].dropna()}
    by = runs[key] if len(kinds) < 2 else runs[key].map(str)
    return runs.loc[by.sort_values(ascending=not larger_first, kind="stable", na_position="last").index]


def _texts(runs: "pd.DataFrame", key: str) -> list[str]:
    """Each value as one types it."""
    return [_text(value) for value in runs[key].tolist()]


def _text(value: Any) -> str:
    import pandas as pd

    if isinstance(value, tuple):
        return f"[{','.join(map(_text, value))}]"
    return "none" if pd.isna(value) else str(value)


def _same(text: str, typed: str) -> bool:
    try:
        return float(text) == float(typed)
    except ValueError:
        return text.lower() == typed.strip().lower()
