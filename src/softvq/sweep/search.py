"""A search: Optuna chooses which cells are tried next, by a number that was measured on the validation part.

Each trial is one ordinary cell, or one a seed. What was tried is in `search.journal` below the folder of the
experiment, from which a search goes on, and for people and the report in `search.json` beside it.
"""

import hashlib
import json
import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from rich.table import Table

from softvq.config.launcher import jobs_at_a_time, kind
from softvq.console import counted, screen
from softvq.locks import locked
from softvq.published import label, shown
from softvq.run.cell import Cell, Outcome, read_metrics
from softvq.run_folder import write_json
from softvq.sweep.launch import Launch
from softvq.sweep.plan import PENDING, Plan, cell_of
from softvq.sweep.progress import SweepProgress
from softvq.sweep.search_space import GROUPS, Settings, Space, described, some_value
from softvq.sweep.sweep import SweepResult, begin, plan_of, run_missing, tell_of_the_end
from softvq.sweep.swept import headings, overrides_of

if TYPE_CHECKING:
    from optuna import Study

AT_ONCE_ELSEWHERE = 8  # trials at a time where the launcher's size is not known
BEST_SHOWN = 5
ENOUGH_TRIALS = 8  # to say which settings matter
FOR_CHOICES = ("probes", "probes.part", "data.val_fraction")  # for choosing; the best trial is trained without


def search(
    space: Space,
    settings: Settings,
    read: Callable[[Sequence[str]], Cell],
    launch: Launch,
    config: DictConfig,
    plan_only: bool,
) -> list[Outcome]:
    """Tries what Optuna proposes until there are enough trials, and shows which was best.

    Raises:
        ValueError: for settings that do not fit, or a number that test labels would decide.
        Stopped: if the search was told to stop.
    """
    begin()
    settings.check()
    example = read(space.cells({key: some_value(values) for key, values in space.searched.items()})[0])
    _refuse_test_labels(example, settings)
    folder = Path(config.hydra.sweep.dir, str(example.config.experiment_name))
    folder.mkdir(parents=True, exist_ok=True)
    way_out = "set hydra.sweep.dir=PATH to a folder on a local disk"
    waiting = lambda: screen.print(f"waiting: another process searches in {folder}")  # noqa: E731
    with locked(folder / ".search.lock", way_out, waiting):
        found = _Search(space, settings, folder)
        screen.print(found.plan())
        if plan_only:
            return []
        outcomes = found.run(read, launch, config)
    screen.print(found.table())
    tell_of_the_end(outcomes)
    if best := found.best():
        screen.print(f"the best of them on the test set:\n  {found.command(best)}")
    return outcomes


def _refuse_test_labels(cell: Cell, settings: Settings) -> None:
    part, fraction = cell.config.probes.part, cell.config.data.val_fraction
    if part != "validation" or not fraction:
        raise ValueError(
            f"a search by {settings.metric} would let the test set choose: probes.part is {part} and "
            f"data.val_fraction is {fraction}; add probes=validation data.val_fraction=0.1"
        )


class _Search:
    """A study of Optuna's in a folder.

    Args:
        space: what is searched.
        settings: what the search is told.
        folder: holds its journal.
    """

    def __init__(self, space: Space, settings: Settings, folder: Path) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
        from optuna.study import StudyDirection

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.settings, self.folder = space, settings, folder
        journal = str(folder / "search.journal")
        about = [sorted(space.fixed), sorted((k, repr(v)) for k, v in space.searched.items()), list(space.seeds)]
        about += [settings.metric, settings.direction]
        self.study: Study = optuna.create_study(
            # Another space or metric is another study in the same journal.
            study_name=hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16],
            storage=JournalStorage(JournalFileBackend(journal, lock_obj=JournalFileOpenLock(journal))),
            direction=StudyDirection[settings.direction.upper()],
            load_if_exists=True,
        )
        # A sampler draws anew in each session: from the same seed it would propose the first trials again.
        self.study.sampler = optuna.samplers.TPESampler(seed=settings.seed + len(self.study.get_trials()))
        self.cells_of: dict[int, list[list[str]]] = {
            trial.number: [list(cell) for cell in trial.user_attrs["cells"]]
            for trial in self.study.get_trials()
            if "cells" in trial.user_attrs
        }

    def _having(self, *states: str) -> list[Any]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name in states]

    def plan(self) -> str:
        """What is searched, and how much of it is done."""
        done = len(self._having("COMPLETE", "FAIL"))
        seeds = f", {len(self.space.seeds)} seeds each" if len(self.space.seeds) > 1 else ""
        names = ", ".join(self.space.searched)
        return (
            f"search over {names} for the {'largest' if self.settings.direction == 'maximize' else 'smallest'} "
            f"{self.settings.metric}: {counted(self.settings.trials, 'trial')}{seeds}, {done} done"
        )

    def run(self, read: Callable[[Sequence[str]], Cell], launch: Launch, config: DictConfig) -> list[Outcome]:
        """Tries until there are enough trials; the outcomes of the cells of this session."""
        outcomes: list[Outcome] = []
        left = self.settings.trials - len(self._having("COMPLETE", "FAIL"))
        with SweepProgress(max(0, left) * len(self.space.seeds), config.hydra.launcher) as progress:
            for numbers in self._batches(self._at_once(config.hydra.launcher)):
                cells = [cell for number in numbers for cell in self.cells_of[number]]
                plan = plan_of(cells, read, config, plan_only=False)
                _refuse_invalid(plan)
                progress.expect(plan.having(*PENDING), list(self.space.searched))
                found = run_missing(plan, launch, config, progress)
                outcomes += found.values()
                for number in numbers:
                    self._tell(number, plan, found)
                self.record()
        return outcomes

    def _at_once(self, launcher: DictConfig) -> int:
        if self.settings.at_once:
            return self.settings.at_once
        return AT_ONCE_ELSEWHERE if kind(launcher) in ("ray", "slurm", "other") else jobs_at_a_time(launcher)

    def _batches(self, at_once: int) -> Iterator[list[int]]:
        """The numbers of trials to run next: first those that an earlier session had begun, then new ones."""
        begun = [trial.number for trial in self._having("RUNNING")]
        for number in begun:
            if number not in self.cells_of:  # the session was killed before this trial had its settings
                self.study.tell(number, state=_failed())
        begun = [number for number in begun if number in self.cells_of]
        while begun:
            yield begun[:at_once]
            begun = begun[at_once:]
        while (left := self.settings.trials - len(self._having("COMPLETE", "FAIL"))) > 0:
            yield [self._ask() for _ in range(min(at_once, left))]

    def _ask(self) -> int:
        trial = self.study.ask(dict(self.space.searched))
        cells = self.cells_of[trial.number] = self.space.cells(trial.params)
        trial.set_user_attr("cells", cells)
        return trial.number

    def _tell(self, number: int, plan: Plan, outcomes: Mapping[str, Outcome]) -> None:
        """Tells Optuna the value of a trial: the mean over its seeds."""
        wanted = {" ".join(cell) for cell in self.cells_of[number]}
        cells = {planned.name: cell_of(planned) for planned in plan.cells if planned.name in wanted}
        # A cell that another trial has, too, is only run for one of them.
        values = [_value(cell, self.settings.metric) for cell in cells.values()]
        if all(value is not None for value in values) and len(cells) == len(wanted):
            self.study.tell(number, mean(value for value in values if value is not None))
        else:
            self.study.tell(number, state=_failed())

    def best(self) -> Any:
        """The best trial; None while none has a value."""
        return self.study.best_trial if self._having("COMPLETE") else None

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
        done = sorted(self._having("COMPLETE"), key=lambda trial: trial.value)
        if self.settings.direction == "maximize":
            done.reverse()
        failed = len(self._having("FAIL"))
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

    def record(self) -> None:
        """Writes `search.json`: what was searched and tried, what was best, and what mattered."""
        best = self.best()
        write_json(
            self.folder / "search.json",
            {
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
            },
        )

    def _importance(self) -> dict[str, float]:
        """How much of the differences between trials each setting explains; empty while there are too few trials."""
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        if len(self._having("COMPLETE")) < ENOUGH_TRIALS:
            return {}
        with suppress(Exception), warnings.catch_warnings():  # Optuna raises where all trials have one value
            warnings.simplefilter("ignore")
            return dict(get_param_importances(self.study, evaluator=PedAnovaImportanceEvaluator()))
        return {}


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL


def _refuse_invalid(plan: Plan) -> None:
    faults = [f"{planned.name}\n    {planned.message}" for planned in plan.having("invalid")]
    if faults:
        SweepResult.exit_code = 1
        raise ValueError("\n  ".join(["the search proposes what cannot be; mend or drop the setting:", *faults]))


def _value(cell: Cell, metric: str) -> float | None:
    """The number of a finished cell that decides; None if it has not finished.

    Raises:
        ValueError: if its `metrics.json` has no such number.
    """
    try:
        metrics = read_metrics(cell.folder)
    except ValueError:  # damaged: it counts as failed
        return None
    if metrics is None:
        return None
    group, _, name = metric.partition(".")
    numbers = metrics.get(group)
    value = numbers.get(name) if isinstance(numbers, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        known = [f"{g}.{n}" for g in GROUPS for n in metrics.get(g) or {}]
        raise ValueError(f"hydra.sweeper.metric={metric}: {cell.folder.metrics} has no such number; it has {known}")
    return float(value)
