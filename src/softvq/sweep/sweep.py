"""A sweep: what is missing of a grid of cells is run, and every cell's end is told."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.table import Table

from softvq.config import errors
from softvq.config.compose import CONF_DIR
from softvq.config.launcher import jobs_at_a_time
from softvq.console import screen
from softvq.data.prepared import prepared_info
from softvq.published import PROBE_METRICS
from softvq.run.cell import Cell, Outcome, read_failure, read_metrics
from softvq.run.process import announce_sweep
from softvq.run.summary import LABELS, percent
from softvq.sweep.dashboard import offline_runs, upload_hint
from softvq.sweep.plan import PENDING, PlannedCell, cell_of, jobs_of, make_plan, plan_table, summary_lines
from softvq.sweep.workers import call_here, call_in_workers

T = TypeVar("T")
Launch = Callable[[Sequence[Sequence[str]]], list[Any]]
Job = list[PlannedCell]  # the seeds that are trained at once; most often a single cell
Trace = tuple[tuple[int, int] | None, ...]


class SweepResult:
    """How the last sweep of this process ended; Hydra hands no sweep's value back to its program.

    The exit code is 0, 1 where a cell is invalid or failed, 130 after Ctrl-C.
    """

    exit_code = 0


def refuse_dropped_settings(overrides: Sequence[Any]) -> None:
    """Several experiments in one sweep lose what their files say to Hydra itself.

    Hydra chooses the launcher and the swept choices before it splits the sweep into cells, so the settings under
    `hydra` of an experiment that is itself swept are never looked at.

    Raises:
        ValueError: naming the experiments.
    """
    for override in overrides:
        if override.key_or_group != "experiment" or not override.is_sweep_override():
            continue
        names = list(override.sweep_string_iterator())
        dropped = [name for name in names if _speaks_to_hydra(name)]
        if len(names) > 1 and dropped:
            raise ValueError(
                f"experiment={','.join(names)}: {', '.join(dropped)} names a launcher or swept choices, which Hydra "
                "drops when several experiments are swept at once; run one sweep for each experiment"
            )


def _speaks_to_hydra(experiment: str) -> bool:
    file = CONF_DIR / "experiment" / f"{experiment}.yaml"
    if not file.exists():
        return False  # composing names the unknown choice
    content: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False) or {}
    defaults = content.get("defaults", [])
    return "hydra" in content or any(
        "hydra/" in str(key) for entry in defaults if isinstance(entry, dict) for key in entry
    )


def run(
    cells: Sequence[Sequence[str]],
    read: Callable[[Sequence[str]], Cell],
    launch: Launch,
    config: DictConfig,
    plan_only: bool,
) -> list[Outcome]:
    """Plans the cells, launches what is missing and shows how each ended.

    Nothing is launched if a cell is invalid: all such cells are listed at once.
    """
    SweepResult.exit_code = 0
    announce_sweep()
    plan = make_plan(cells, read, _explained, call_here if plan_only else call_in_workers(config.hydra.launcher))
    jobs = jobs_at_a_time(config.hydra.launcher)
    if plan_only:
        screen.print(plan_table(plan))
    for line in summary_lines(plan, jobs):
        screen.print(line)
    if plan.having("invalid"):
        SweepResult.exit_code = 1
        screen.print_error("nothing was started: mend or drop the invalid cells")
        return []
    if plan_only:
        return []
    outcomes = {
        planned.name: Outcome("skipped", str(cell_of(planned).folder.path)) for planned in plan.having("finished")
    }
    try:
        outcomes |= launch_all(jobs_of(plan.having(*PENDING)), launch)
    except KeyboardInterrupt:
        SweepResult.exit_code = 130
        screen.print_error("interrupted; the same command goes on where this sweep stopped")
        return list(outcomes.values())
    ended = [(planned, outcomes[planned.name]) for planned in plan.cells if planned.name in outcomes]
    screen.print(closing_table(ended))
    failed = [outcome for _, outcome in ended if outcome.status == "failed"]
    for outcome in failed:
        screen.print(f"failed: {outcome.folder}\n  {outcome.message}")
    if failed:
        screen.print("the same command tries the failed cells again")
    if offline := offline_runs(*(Path(outcome.folder) for _, outcome in ended)):
        screen.print(upload_hint(offline))
    SweepResult.exit_code = 1 if failed else 0
    return [outcome for _, outcome in ended]


def _explained(error: Exception, overrides: Sequence[str]) -> str:
    """What is wrong with the overrides of a cell; where they compose, the error's own words."""
    composing = isinstance(error, HydraException | OmegaConfBaseException)
    return "\n  ".join(errors.faults(overrides) if composing else []) or str(error)


def launch_all(jobs: Sequence[Job], launch: Launch) -> dict[str, Outcome]:
    """Launches jobs until each of their cells has an outcome, by name.

    A launcher may break off when one of its workers dies (joblib does), and takes jobs with it that did nothing
    wrong. Those that had not begun are launched again; the few that were running then go one at a time, which shows
    whose death it was.
    """
    outcomes: dict[str, Outcome] = {}
    rounds = [list(jobs)] if jobs else []
    suspects: list[Job] = []
    while rounds or suspects:
        alone = not rounds
        batch = [suspects.pop(0)] if alone else rounds.pop()
        before = {planned.name: _trace(planned) for job in batch for planned in job}
        try:
            for job, answer in zip(batch, launch([_absolute(job) for job in batch]), strict=True):
                outcomes |= _outcomes(job, answer, before)
            continue
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        began = [job for job in batch if any(_trace(planned) != before[planned.name] for planned in job)]
        ends = {planned.name: _recorded_end(planned, before[planned.name]) for job in began for planned in job}
        outcomes |= {name: end for name, end in ends.items() if end}
        if alone or not began:
            lost = [planned for job in batch for planned in job if planned.name not in outcomes]
            outcomes |= {planned.name: _failed(planned, reason) for planned in lost}
            continue
        screen.print_warning(f"the launcher broke off; going on with the rest ({reason.splitlines()[0]})")
        suspects += _nonempty([[planned for planned in job if planned.name not in outcomes] for job in began])
        rounds += _nonempty([[job for job in batch if job not in began]])
    return outcomes


def _nonempty(lists: list[list[T]]) -> list[list[T]]:
    return [some for some in lists if some]


def _trace(planned: PlannedCell) -> Trace:
    """What changes in the folder of a cell when it begins, and when it fails."""
    folder = cell_of(planned).folder
    return tuple(
        (file.stat().st_mtime_ns, file.stat().st_size) if file.exists() else None
        for file in (folder.log, folder.failure)
    )


def _absolute(job: Job) -> list[str]:
    """The overrides of a job with its paths made absolute, as it may start in another folder.

    They are those of its first cell; what the others are follows from their seeds and folders.
    """
    planned, cell = job[0], cell_of(job[0])
    data = cell.config.data
    paths = {"hydra.sweep.dir": str(cell.folder.path.parent), "data.root": data.root}
    if data.get("dir"):
        paths["data.dir"] = data.dir
    absolute = [f"{key}={_quoted(path)}" for key, path in paths.items()]
    if len(job) > 1:
        members = {cell_of(member).config.seed: cell_of(member).folder.path for member in job}
        told = ",".join(f"{seed}:{_quoted(str(path))}" for seed, path in members.items())
        absolute.append(f"trainer.members={{{told}}}")
    return [*planned.overrides, f"hydra.sweep.subdir={_quoted(cell.folder.path.name)}", *absolute]


def _quoted(text: str) -> str:
    """A string as Hydra's overrides take it whatever characters it holds."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _outcomes(job: Job, answer: Any, before: Mapping[str, Trace]) -> dict[str, Outcome]:
    """What a job says of its cells, by name; for one that died, what their folders say."""
    try:
        value = answer.return_value
        reason = f"the job ended without an outcome: {value!r}"
    except Exception as error:  # the job's own exception, kept by Hydra, or the launcher's
        value, reason = None, f"{type(error).__name__}: {error}"
    told = value if isinstance(value, list) else []
    if len(told) == len(job) and all(isinstance(outcome, Outcome) for outcome in told):
        return {planned.name: outcome for planned, outcome in zip(job, told, strict=True)}
    ends = {planned.name: _recorded_end(planned, before[planned.name]) for planned in job}
    return {planned.name: ends[planned.name] or _failed(planned, reason) for planned in job}


def _recorded_end(planned: PlannedCell, before: Trace) -> Outcome | None:
    """The end of a cell as far as its folder tells it; `before` is its trace when it was launched."""
    cell = cell_of(planned)
    info = prepared_info(cell.source(), cell.config.data.root)
    if info is not None and cell.is_finished(cell.settings(info)):
        return Outcome("finished", str(cell.folder.path))
    failure = read_failure(cell.folder)
    if failure is None or _trace(planned)[1] == before[1]:
        return None
    return _failed(planned, f"{failure['error']}: {failure['message']}")


def _failed(planned: PlannedCell, message: str) -> Outcome:
    return Outcome("failed", str(cell_of(planned).folder.path), message)


def closing_table(ended: Iterable[tuple[PlannedCell, Outcome]]) -> Table:
    """How each cell ended, with its probe results in percent."""
    ended = list(ended)
    counts = {status: sum(o.status == status for _, o in ended) for status in ("finished", "skipped", "failed")}
    table = Table(title=", ".join(f"{count} {status}" for status, count in counts.items()))
    for column in ("data", "bottleneck", "seed", "status"):
        table.add_column(column)
    for name in PROBE_METRICS:
        table.add_column(f"{LABELS[name]} (%)", justify="right")
    for planned, outcome in ended:
        cell = cell_of(planned)
        metrics = read_metrics(cell.folder) if outcome.status != "failed" else None
        probes = metrics["probes"] if metrics else {}
        table.add_row(
            cell.config.data.name,
            cell.choices["bottleneck"],
            str(cell.config.seed),
            outcome.status,
            *(percent(probes.get(name)) for name in PROBE_METRICS),
        )
    return table
