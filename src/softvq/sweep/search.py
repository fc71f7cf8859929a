"""A search: Optuna chooses which cells are tried next, by a number that was measured on the validation part.

Each trial is one ordinary cell, or one a seed. What was tried is in `search.journal` below the folder of the
experiment, from which a search goes on, and for people and the report in `search.json` beside it.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from softvq.config.launcher import jobs_at_a_time, kind
from softvq.console import counted, screen
from softvq.data.prepared import prepare
from softvq.locks import locked
from softvq.published import PROBE_METRICS
from softvq.run.agreement import check_whole
from softvq.run.cell import Cell, Outcome
from softvq.run.recorded import read_metrics
from softvq.sweep.launch import Launch
from softvq.sweep.plan import PENDING, Plan, cell_of
from softvq.sweep.progress import SweepProgress
from softvq.sweep.search_results import SearchResults, having
from softvq.sweep.search_space import GROUPS, Settings, Space, some_value
from softvq.sweep.sweep import SweepResult, begin, plan_of, run_missing, tell_of_the_end

if TYPE_CHECKING:
    from optuna import Study

AT_ONCE_ELSEWHERE = 8  # trials at a time where the launcher's size is not known
SHIPPED = ("clustering", "classification")  # probes, whose numbers are known
ERRORS = ("test_mse", "test_normalized_mse")


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
    some_cell = space.cells({key: some_value(values) for key, values in space.searched.items()})[0]
    example = read(some_cell)
    _refuse_test_labels(example, settings)
    _refuse_unknown_number(example, settings)
    folder = Path(config.hydra.sweep.dir, str(example.config.experiment_name))
    if plan_only:
        screen.print(_Search(space, settings, folder, only_read=True).plan())
        return []
    if kind(config.hydra.launcher) not in ("slurm", "ray"):
        prepare(example.source(), example.config.data.root)  # else every trial would find that there are no images
    if not folder.exists():  # what no trial can be is refused before there is one
        _refuse_invalid(plan_of([some_cell], read, config, plan_only=False))
    folder.mkdir(parents=True, exist_ok=True)
    way_out = "set hydra.sweep.dir=PATH to a folder on a local disk"
    waiting = lambda: screen.print(f"waiting: another process searches in {folder}")  # noqa: E731
    with locked(folder / ".search.lock", way_out, waiting):
        found = _Search(space, settings, folder)
        screen.print(found.plan())
        outcomes = found.run(read, launch, config)
    screen.print(found.results.table())
    tell_of_the_end(outcomes)
    if best := found.results.best():
        screen.print(f"the best of them on the test set:\n  {found.results.command(best)}")
    return outcomes


def _refuse_test_labels(cell: Cell, settings: Settings) -> None:
    part, fraction = cell.config.probes.part, cell.config.data.val_fraction
    if part != "validation" or not fraction:
        raise ValueError(
            f"a search by {settings.metric} would let the test set choose: probes.part is {part} and "
            f"data.val_fraction is {fraction}; add probes=validation data.val_fraction=0.1"
        )


def _refuse_unknown_number(cell: Cell, settings: Settings) -> None:
    """Refuses a number that no trial will have, as far as that is known before one has been run."""
    group, _, name = settings.metric.partition(".")
    own = [key for key, value in cell.config.probes.items() if key not in SHIPPED and "_target_" in _keys(value)]
    known = {"probes": () if own else PROBE_METRICS, "reconstruction": ERRORS}.get(group)
    if known and name not in known:
        there_are = ", ".join(f"{group}.{number}" for number in known)
        raise ValueError(f"hydra.sweeper.metric={settings.metric}: a run has no such number; it has {there_are}")


def _keys(value: Any) -> Sequence[str]:
    return [str(key) for key in value] if isinstance(value, DictConfig) else ()


class _Search:
    """A study of Optuna's in a folder.

    Trials that failed in an earlier session are tried again, as the cells of a sweep are: they do not count as done.

    Args:
        space: what is searched.
        settings: what the search is told.
        folder: holds its journal.
        only_read: leave the folder as it is.
    """

    def __init__(self, space: Space, settings: Settings, folder: Path, only_read: bool = False) -> None:
        import optuna

        from softvq.sweep.search_journal import JOURNAL, has_settings, open_study

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.settings, self.folder = space, settings, folder
        about = [sorted(space.fixed), sorted((k, repr(v)) for k, v in space.searched.items()), list(space.seeds)]
        about += [settings.metric, settings.direction]
        # Another space or metric is another study in the same journal.
        name = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
        self.study: Study = open_study(folder / JOURNAL, name, settings.direction, space, only_read)
        # A sampler draws anew in each session: from the same seed it would propose the first trials again.
        self.study.sampler = optuna.samplers.TPESampler(seed=settings.seed + len(self.study.get_trials()))
        self.cells_of: dict[int, list[list[str]]] = {
            trial.number: space.cells(trial.params)
            for trial in self.study.get_trials(deepcopy=False)
            if has_settings(trial, space)
        }
        self.results = SearchResults(self.study, space, settings, self.cells_of)
        failed = [trial for trial in having(self.study, "FAIL") if trial.number in self.cells_of]
        self._failed_before = {trial.number for trial in having(self.study, "FAIL")}
        since = [trial.params for trial in having(self.study, "COMPLETE", "RUNNING")]
        self._to_retry = {repr(trial.params): trial.params for trial in failed if trial.params not in since}

    @property
    def done(self) -> int:
        """How many trials have ended; of those that failed only the ones of this session."""
        return len(
            [trial for trial in having(self.study, "COMPLETE", "FAIL") if trial.number not in self._failed_before]
        )

    def plan(self) -> str:
        """What is searched, and how much of it is done."""
        retried = f", {len(self._to_retry)} to retry" if self._to_retry else ""
        seeds = f", {len(self.space.seeds)} seeds each" if len(self.space.seeds) > 1 else ""
        names = ", ".join(self.space.searched)
        return (
            f"search over {names} for the {'largest' if self.settings.direction == 'maximize' else 'smallest'} "
            f"{self.settings.metric}: {counted(self.settings.trials, 'trial')}{seeds}, {self.done} done{retried}"
        )

    def run(self, read: Callable[[Sequence[str]], Cell], launch: Launch, config: DictConfig) -> list[Outcome]:
        """Tries until there are enough trials; the outcomes of the cells of this session."""
        outcomes: list[Outcome] = []
        left = max(0, self.settings.trials - self.done) * len(self.space.seeds)
        with SweepProgress(left, config.hydra.launcher) as progress:
            for numbers in self._batches(self._at_once(config.hydra.launcher)):
                cells = [cell for number in numbers for cell in self.cells_of[number]]
                plan = plan_of(cells, read, config, plan_only=False)
                _refuse_invalid(plan)
                progress.expect(plan.having(*PENDING), list(self.space.searched))
                found = run_missing(plan, launch, config, progress)
                outcomes += found.values()
                for number in numbers:
                    self._tell(number, plan, found)
                self.results.record(self.folder / "search.json")
        return outcomes

    def _at_once(self, launcher: DictConfig) -> int:
        if self.settings.at_once:
            return self.settings.at_once
        return AT_ONCE_ELSEWHERE if kind(launcher) in ("ray", "slurm", "other") else jobs_at_a_time(launcher)

    def _batches(self, at_once: int) -> Iterator[list[int]]:
        """The numbers of trials to run next: first what an earlier session had begun or failed in, then new ones."""
        begun = [trial.number for trial in having(self.study, "RUNNING")]
        for number in begun:
            if number not in self.cells_of:  # the session was killed before this trial had its settings
                self.study.tell(number, state=_failed())
        begun = [number for number in begun if number in self.cells_of]
        while begun:
            yield begun[:at_once]
            begun = begun[at_once:]
        while (left := self.settings.trials - self.done) > 0:
            yield [self._ask() for _ in range(min(at_once, left))]

    def _ask(self) -> int:
        if self._to_retry:
            self.study.enqueue_trial(self._to_retry.pop(next(iter(self._to_retry))))
        trial = self.study.ask(dict(self.space.searched))
        cells = self.cells_of[trial.number] = self.space.cells(trial.params)
        trial.set_user_attr("cells", cells)
        return trial.number

    def _tell(self, number: int, plan: Plan, outcomes: Mapping[str, Outcome]) -> None:
        """Tells Optuna the value of a trial: the mean over its seeds."""
        from softvq.sweep.search_journal import tell_value

        wanted = {" ".join(cell) for cell in self.cells_of[number]}
        cells = {planned.name: cell_of(planned) for planned in plan.cells if planned.name in wanted}
        # A cell that another trial has, too, is only run for one of them.
        values = [_value(cell, self.settings.metric) for cell in cells.values()]
        if all(value is not None for value in values) and len(cells) == len(wanted):
            tell_value(self.study, number, mean(value for value in values if value is not None))
        else:
            self.study.tell(number, state=_failed())


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
        if metrics is None:
            return None
        check_whole(cell.folder, metrics)
    except ValueError:  # damaged: it counts as failed
        return None
    group, _, name = metric.partition(".")
    numbers = metrics.get(group)
    value = numbers.get(name) if isinstance(numbers, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        known = [f"{g}.{n}" for g in GROUPS for n in metrics.get(g) or {}]
        raise ValueError(f"hydra.sweeper.metric={metric}: {cell.folder.metrics} has no such number; it has {known}")
    return float(value)
