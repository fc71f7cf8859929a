"""Launches the jobs of a sweep until each of their cells has an outcome, whatever happens to the launcher's workers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from softvq import stop
from softvq.config.overrides import quoted
from softvq.console import screen
from softvq.data.prepared import prepared_info
from softvq.run.cell import Outcome
from softvq.run.complete import record_failure
from softvq.run.recorded import read_failure, read_metrics
from softvq.run.sweep_message import job_override
from softvq.sweep.plan import PlannedCell, cell_of

T = TypeVar("T")
Job = list[PlannedCell]  # the seeds that are trained at once; most often a single cell
Trace = tuple[tuple[int, int] | None, ...]
# Launches jobs by their overrides and returns an answer for each, whose `return_value` is what the job returned or
# raises what ended it. It tells of each answer as it comes, with its job's number.
Launch = Callable[[Sequence[Sequence[str]], Callable[[int, Any], None]], list[Any]]
Tell = Callable[[Mapping[str, Outcome]], None]


class LostCellError(RuntimeError):
    """A cell whose process died, so that it could not say itself what happened, nor at which step."""

    step = None


def launch_all(jobs: Sequence[Job], launch: Launch, tell: Tell) -> dict[str, Outcome]:
    """Launches jobs and returns the outcome of each cell, by name.

    A launcher may break off when one of its workers dies (joblib does), and takes jobs with it that did nothing
    wrong. Those that had not begun are launched again; the few that were running then go one at a time, which shows
    whose death it was.

    Args:
        jobs: what is launched together.
        launch: of the launcher.
        tell: is told of outcomes as they come.
    """
    outcomes: dict[str, Outcome] = {}

    def end(found: Mapping[str, Outcome]) -> None:
        new = {name: outcome for name, outcome in found.items() if name not in outcomes}
        outcomes.update(new)
        if new:
            tell(new)

    rounds = [list(jobs)] if jobs else []
    suspects: list[Job] = []
    while rounds or suspects:
        alone = not rounds
        batch = [suspects.pop(0)] if alone else rounds.pop()
        if stop.requested():
            end({planned.name: _stopped(planned) for job in batch for planned in job})
            continue
        before = {planned.name: _trace(planned) for job in batch for planned in job}

        def returned(number: int, answer: Any, batch: list[Job] = batch, before: dict[str, Trace] = before) -> None:
            end(_outcomes(batch[number], answer, before))

        try:
            answers = launch([_overrides(job) for job in batch], returned)
            for number, answer in enumerate(answers):
                returned(number, answer)
            continue
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        began = [job for job in batch if any(_trace(planned) != before[planned.name] for planned in job)]
        ends = {planned.name: _recorded_end(planned, before[planned.name]) for job in began for planned in job}
        end({name: outcome for name, outcome in ends.items() if outcome})
        if alone or not began:
            lost = [planned for job in batch for planned in job if planned.name not in outcomes]
            end({planned.name: _lost(planned, reason) for planned in lost})
            continue
        screen.print_warning(f"the launcher broke off; going on with the rest ({reason.splitlines()[0]})")
        suspects += _nonempty([[planned for planned in job if planned.name not in outcomes] for job in began])
        rounds += _nonempty([[job for job in batch if job not in began]])
    return outcomes


def _nonempty(lists: list[list[T]]) -> list[list[T]]:
    return [some for some in lists if some]


def _trace(planned: PlannedCell) -> Trace:
    """State of the files that a cell writes when it begins and when it fails: a change tells that it did."""
    folder = cell_of(planned).folder
    return tuple(
        (file.stat().st_mtime_ns, file.stat().st_size) if file.exists() else None
        for file in (folder.log, folder.failure)
    )


def _overrides(job: Job) -> list[str]:
    """The overrides of a job with its paths made absolute, as it may start in another folder.

    They are those of its first cell; what the others are follows from their seeds and folders.
    """
    planned, cell = job[0], cell_of(job[0])
    data = cell.config.data
    paths = {"hydra.sweep.dir": str(cell.folder.path.parent), "data.root": data.root}
    if data.get("dir"):
        paths["data.dir"] = data.dir
    seeds = {cell_of(member).config.seed: str(cell_of(member).folder.path) for member in job} if len(job) > 1 else {}
    return [
        *planned.overrides,
        f"hydra.sweep.subdir={quoted(cell.folder.path.name)}",
        *(f"{key}={quoted(path)}" for key, path in paths.items()),
        job_override(seeds),
    ]


def _outcomes(job: Job, answer: Any, before: Mapping[str, Trace]) -> dict[str, Outcome]:
    """How the cells of a job ended, by name: as the job returned it, or, if it died, as their folders tell."""
    try:
        value = answer.return_value
        reason = f"the job ended without an outcome: {value!r}"
    except stop.Stopped as stopped:
        return {planned.name: _stopped(planned, stopped.where) for planned in job}
    except Exception as error:  # of the job, which Hydra kept, or of the launcher
        value, reason = None, f"{type(error).__name__}: {error}"
    told = value if isinstance(value, list) else []
    if len(told) == len(job) and all(isinstance(outcome, Outcome) for outcome in told):
        return {planned.name: _confirmed(planned, outcome) for planned, outcome in zip(job, told, strict=True)}
    ends = {planned.name: _recorded_end(planned, before[planned.name]) for planned in job}
    return {planned.name: ends[planned.name] or _lost(planned, reason) for planned in job}


def _confirmed(planned: PlannedCell, outcome: Outcome) -> Outcome:
    """An outcome as a job returned it; a failure if a cell is said to be finished and its results are not there."""
    if outcome.status == "finished" and not cell_of(planned).folder.metrics.exists():
        return _lost(planned, f"the job says that it is finished, but {cell_of(planned).folder.metrics} is missing")
    return outcome


def _recorded_end(planned: PlannedCell, before: Trace) -> Outcome | None:
    """How a cell ended, as far as its folder tells; `before` is its `_trace` when it was launched."""
    cell = cell_of(planned)
    try:
        info = prepared_info(cell.source(), cell.config.data.root)
        if info is not None and read_metrics(cell.folder) and cell.is_finished(cell.settings(info)):
            return Outcome("finished", str(cell.folder.path))
    except (ValueError, OSError) as error:  # damaged meanwhile
        return Outcome("failed", str(cell.folder.path), f"{type(error).__name__}: {error}")
    failure = read_failure(cell.folder)
    if failure is None or _trace(planned)[1] == before[1]:
        return None
    return Outcome("failed", str(cell.folder.path), f"{failure['error']}: {failure['message']}")


def _stopped(planned: PlannedCell, where: str = "") -> Outcome:
    return Outcome("stopped", str(cell_of(planned).folder.path), where)


def _lost(planned: PlannedCell, reason: str) -> Outcome:
    """The outcome of a cell whose process died without a word: stopped if the sweep was, else failed."""
    if stop.requested():
        return _stopped(planned)
    return record_failure(cell_of(planned).folder, LostCellError(reason))
