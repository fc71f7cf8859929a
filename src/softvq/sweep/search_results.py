"""What a search has found: its best trials, what mattered, and the command that trains the best configuration."""

import shlex
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from softvq.console import counted
from softvq.durable_files import write_json
from softvq.published import label, shown
from softvq.seals import sealed
from softvq.sweep.search_space import Settings, Space, described
from softvq.sweep.swept import headings, overrides_of

if TYPE_CHECKING:
    from optuna import Study

BEST_SHOWN = 5
ENOUGH_TRIALS = 8  # to say which settings matter
FOR_CHOICES = ("probes", "probes.part", "data.val_fraction")  # for choosing; the best trial is trained without


def having(study: "Study", *states: str) -> list[Any]:
    """The trials of a study that are in one of these states, by Optuna's names for them."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in states]


class SearchResults:
    """The trials of a study of Optuna's, for people and for the report.

    Args:
        study: that goes on.
        space: what is searched.
        settings: what the search is told.
        cells_of: number of a trial -> the overrides of each of its cells.
    """

    def __init__(
        self, study: "Study", space: Space, settings: Settings, cells_of: Mapping[int, Sequence[Sequence[str]]]
    ) -> None:
        self.study, self.space, self.settings, self.cells_of = study, space, settings, cells_of

    def best(self) -> Any:
        """The best trial; None while none has a value."""
        return self.study.best_trial if having(self.study, "COMPLETE") else None

    def command(self, trial: Any) -> str:
        """The command that trains a trial's configuration with all images and measures it on the test set."""
        own = [f"{key}={value}" for key, value in self._chosen(trial).items()]
        fixed = [override for override in self.space.fixed if override.partition("=")[0].lstrip("+") not in FOR_CHOICES]
        return shlex.join(["softvq", "train", *fixed, *own, "probes=paper", "data.val_fraction=0"])

    def _chosen(self, trial: Any) -> dict[str, str]:
        typed = overrides_of(self.cells_of.get(trial.number, [[]])[0])
        return {key: typed[key.lstrip("+")] for key in self.space.searched if key.lstrip("+") in typed}

    def table(self) -> Table:
        """The best trials."""
        keys = list(self.space.searched)
        largest_first = self.settings.direction == "maximize"
        done = sorted(having(self.study, "COMPLETE"), key=lambda trial: trial.value, reverse=largest_first)
        failed = len(having(self.study, "FAIL"))
        title = counted(len(done), "trial") + (f", {failed} failed" if failed else "")
        title += f"; the best {BEST_SHOWN}" if len(done) > BEST_SHOWN else ""
        name = self.settings.metric.rpartition(".")[2]
        table = Table(title=title)
        for column in ("trial", *headings([key.lstrip("+") for key in keys]), f"{label(name)} of the validation part"):
            table.add_column(column, justify="right", overflow="fold")
        for trial in done[:BEST_SHOWN]:
            chosen = self._chosen(trial)
            table.add_row(str(trial.number), *(chosen.get(key, "") for key in keys), shown(trial.value, name))
        return table

    def record(self, path: Path) -> None:
        """Writes what was searched and tried, what was best, and what mattered, as JSON."""
        best = self.best()
        content = {
            "metric": self.settings.metric,
            "direction": self.settings.direction,
            "searched": {key: described(values) for key, values in self.space.searched.items()},
            "fixed": list(self.space.fixed),
            "trials": [
                {
                    "number": trial.number,
                    "state": {"COMPLETE": "finished", "FAIL": "failed"}.get(trial.state.name, "unfinished"),
                    "value": trial.value,
                    "chosen": self._chosen(trial),
                    "cells": self.cells_of.get(trial.number, []),
                }
                for trial in self.study.get_trials(deepcopy=False)
            ],
            "importance": self._importance(),
            "best": None if best is None else {"number": best.number, "value": best.value},
            "command": None if best is None else self.command(best),
        }
        write_json(path, sealed(content))

    def _importance(self) -> dict[str, float]:
        """How much of the differences between trials each setting explains; empty while there are too few trials."""
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        if len(having(self.study, "COMPLETE")) < ENOUGH_TRIALS:
            return {}
        with suppress(Exception), warnings.catch_warnings():  # Optuna raises where all trials have one value
            warnings.simplefilter("ignore")
            return dict(get_param_importances(self.study, evaluator=PedAnovaImportanceEvaluator()))
        return {}
