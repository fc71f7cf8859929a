"""Run folders as a pandas table: a row a run, every number and setting a column."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softvq.report.read.collection import Collection, collect
from softvq.report.read.fields import flat
from softvq.report.read.run import Run

if TYPE_CHECKING:
    import pandas as pd

FIRST = ("folder", "experiment", "data", "bottleneck", "fidelity", "seed", "steps", "status", "protocol", "tap")
NUMBERS = ("probes.", "reconstruction.", "diagnostics.", "time.")
LAST = ("parameters", "config_hash", "commit", "device", "reason")
NOT_SETTINGS = ("choices", "result_settings", "image_shape")  # keys of config.yaml that get no column
SAID_ALREADY = {"protocol", "hyperparameters"}  # keys of metrics.json that repeat settings


def read_runs(logs: str | Path | Sequence[str | Path] = "logs") -> "pd.DataFrame":
    """Every run below one or several folders, in the order of their names.

    The columns are what a run is (folder, experiment, data, bottleneck, fidelity, seed, steps, status, protocol, tap),
    its numbers (`probes.clustering_accuracy` and so on as fractions of 1, `reconstruction.*`, `diagnostics.*`,
    `time.*`), every setting of its `config.yaml` by its dotted key (`bottleneck.K`, `network.d`, `optimizer.lr`), and
    config_hash, commit and device. `status` is `finished`, `stopped_early`, `failed` or `unfinished`; without a result
    the numbers are missing. A list of settings is a tuple, so that rows can be grouped by it.

    Args:
        logs: folders that hold runs, at any depth.

    Raises:
        FileNotFoundError: if a folder does not exist.

    Warns:
        UserWarning: of each run whose files are damaged; it has no row.

    Example:
        >>> runs = read_runs(example_logs)
        >>> runs[runs.status == "finished"].groupby("bottleneck")["probes.clustering_accuracy"].mean().round(3)
        bottleneck
        soft_vq    0.780
        vae        0.564
        Name: probes.clustering_accuracy, dtype: float64
        >>> runs[["bottleneck", "seed", "bottleneck.K", "network.d"]]
          bottleneck  seed  bottleneck.K  network.d
        0    soft_vq     0           128         64
        1    soft_vq     1           128         64
        2        vae     0          <NA>         64
    """
    folders = [logs] if isinstance(logs, str | Path) else logs
    found = collect([Path(folder) for folder in folders])
    for remark in found.damaged:
        warnings.warn(f"{remark.folder} is left out: {remark.reason}", stacklevel=2)
    return table(found)


def table(found: Collection) -> "pd.DataFrame":
    """The runs of a collection, a row each, in their order."""
    import pandas as pd

    rows = [_row(run) for run in found.runs]
    names = dict.fromkeys(name for row in rows for name in row)
    frame = pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in sorted(names, key=_order)})
    return frame if rows else frame.reindex(columns=[*FIRST, *LAST])


def _row(run: Run) -> dict[str, Any]:
    measured = {key: value for key, value in run.metrics.items() if key not in SAID_ALREADY}
    settings = {key: value for key, value in run.config.items() if key not in NOT_SETTINGS}
    return {
        **{key: _hashable(value) for key, value in {**flat(settings), **flat(measured)}.items()},
        **{name: getattr(run, name) for name in FIRST},
        **{name: getattr(run, name) for name in LAST if name != "parameters"},
    }


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value


def _column(values: Sequence[Any]) -> Any:
    """Whole numbers stay whole beside missing ones, and a column of mixed kinds keeps each value as it is."""
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and None in values and all(abs(value) < 2**63 for value in values if value is not None):
        return pd.array(values, dtype="Int64")
    if kinds == {float, int} or kinds == {float}:
        return pd.Series(values, dtype="float64")
    plain = kinds == {str} or (len(kinds) == 1 and None not in values)
    return pd.Series(values, dtype=None if plain else object)


def _order(name: str) -> tuple[int, int, str]:
    """Sorts the columns: what the run is, its numbers, its settings, where it comes from."""
    if name in FIRST:
        return 0, FIRST.index(name), name
    for place, prefix in enumerate(NUMBERS):
        if name.startswith(prefix):
            return 1, place, name
    if name in LAST:
        return 3, LAST.index(name), name
    return 2, 0, name
