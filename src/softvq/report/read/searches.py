"""Reads `search.json`, which a search writes into the folder of its experiment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softvq.bounded_files import printable_values, read_json
from softvq.report.read.run import Run
from softvq.run.fields import is_kind, mapping_in, need
from softvq.run_folder import DamagedFileError
from softvq.seals import BROKEN, is_whole

SEARCH = "search.json"


@dataclass(frozen=True)
class Search:
    """A search for the best settings.

    Attributes:
        experiment: the name of the experiment to which its trials belong.
        metric: the number that decides, as GROUP.NAME of `metrics.json`.
        direction: `maximize` or `minimize`.
        values: of the trials in their order; None for one that failed or has not finished.
        tried: the searched settings of each trial, in the same order.
        choices: the searched settings that are one of several values without an order.
        logarithmic: those that are searched on a logarithmic scale.
        importance: setting -> how much of the differences between trials it explains; empty with few trials.
        best: the place of the best trial in `values`; None while none has finished.
        chosen: the settings of the best trial.
        command: the command that trains the best configuration on all training images and measures it on the test set;
            empty while there is none.
    """

    experiment: str
    metric: str
    direction: str
    values: tuple[float | None, ...]
    tried: tuple[Mapping[str, str], ...]
    choices: frozenset[str]
    logarithmic: frozenset[str]
    importance: Mapping[str, float]
    best: int | None
    chosen: Mapping[str, str]
    command: str


def search_files(runs: Iterable[Run], roots: Iterable[Path]) -> dict[Path, str]:
    """The files `search.json` in the folders above some runs, each with the experiment of those runs.

    Args:
        runs: whose folders are looked at, and the folders above them.
        roots: folders at which looking upwards ends.
    """
    named = {root.resolve() for root in roots}
    experiments: dict[Path, str] = {}
    for run in runs:
        folder = run.path.resolve() if run.path else None
        while folder is not None and folder not in named and folder != folder.parent:
            folder = folder.parent
            experiments.setdefault(folder, run.experiment)
    return {folder / SEARCH: name for folder, name in experiments.items() if (folder / SEARCH).is_file()}


def read_search(path: Path, experiment: str) -> Search:
    """Reads the file of a search.

    Raises:
        DamagedFileError: if it is not what a search writes.
    """
    written = mapping_in(path, read_json) or {}
    if not is_whole(written):
        raise DamagedFileError(path, BROKEN)
    content = printable_values(written)
    trials = need(content, "trials", list, path)
    if not all(isinstance(trial, Mapping) for trial in trials):
        raise DamagedFileError(path, "its trials are not mappings")
    values = [trial.get("value") for trial in trials]
    best = content.get("best")
    numbers = [trial.get("number") for trial in trials]
    number = best.get("number") if isinstance(best, Mapping) else None
    place = numbers.index(number) if number is not None and number in numbers else None
    searched = {
        str(key): space for key, space in need(content, "searched", Mapping, path).items() if isinstance(space, Mapping)
    }
    return Search(
        experiment=experiment,
        metric=need(content, "metric", str, path),
        direction=need(content, "direction", str, path),
        values=tuple(float(value) if is_kind(value, int | float) else None for value in values),
        tried=tuple(_texts(trial.get("chosen")) for trial in trials),
        choices=frozenset(key for key, space in searched.items() if "choices" in space),
        logarithmic=frozenset(key for key, space in searched.items() if space.get("log") is True),
        importance={
            str(key): float(value)
            for key, value in need(content, "importance", Mapping, path).items()
            if is_kind(value, int | float)
        },
        best=place,
        chosen={} if place is None else _texts(trials[place].get("chosen")),
        command=need(content, "command", str, path) if place is not None else "",
    )


def _texts(content: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in content.items()} if isinstance(content, Mapping) else {}
