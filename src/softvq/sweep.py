"""A sweep: what is missing of a grid of cells is run, and every cell's end is told."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.table import Table

from softvq import cli
from softvq.config import CONF_DIR
from softvq.console import screen
from softvq.dashboard import offline_runs, upload_hint
from softvq.data.arrays import prepared_info
from softvq.experiment import Cell
from softvq.launchers import announce_sweep, jobs_at_a_time
from softvq.plan import PENDING, PlannedCell, make_plan, plan_table, summary_lines
from softvq.published import PROBE_METRICS
from softvq.runs import Outcome, read_json
from softvq.summary import LABELS, percent

Launch = Callable[[Sequence[Sequence[str]]], list[Any]]
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
    plan = make_plan(cells, read, _explained)
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
        planned.name: Outcome("skipped", str(_cell(planned).folder.path)) for planned in plan.having("finished")
    }
    try:
        announce_sweep()
        outcomes |= launch_all(plan.having(*PENDING), launch)
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
    return "\n  ".join(cli.faults(overrides) if composing else []) or str(error)


def launch_all(pending: Sequence[PlannedCell], launch: Launch) -> dict[str, Outcome]:
    """Launches cells until each has an outcome, by name.

    A launcher may break off when one of its workers dies (joblib does), and takes cells with it that did nothing
    wrong. Those that had not begun are launched again; the few that were running then go one at a time, which shows
    whose death it was.
    """
    outcomes: dict[str, Outcome] = {}
    rounds = [list(pending)] if pending else []
    suspects: list[PlannedCell] = []
    while rounds or suspects:
        alone = not rounds
        batch = [suspects.pop(0)] if alone else rounds.pop()
        before = {planned.name: _trace(planned) for planned in batch}
        try:
            jobs = launch([_absolute(planned) for planned in batch])
            outcomes |= {p.name: _outcome(p, job, before[p.name]) for p, job in zip(batch, jobs, strict=True)}
            continue
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        began = [planned for planned in batch if _trace(planned) != before[planned.name]]
        outcomes |= {planned.name: end for planned in began if (end := _recorded_end(planned, before[planned.name]))}
        torn = [planned for planned in began if planned.name not in outcomes]
        if alone or not began:
            lost = [planned for planned in batch if planned.name not in outcomes]
            outcomes |= {planned.name: _failed(planned, reason) for planned in lost}
            continue
        screen.print_warning(f"the launcher broke off; going on with the rest ({reason.splitlines()[0]})")
        suspects += torn
        rounds += _nonempty([planned for planned in batch if planned not in began])
    return outcomes


def _nonempty(cells: list[PlannedCell]) -> list[list[PlannedCell]]:
    return [cells] if cells else []


def _cell(planned: PlannedCell) -> Cell:
    assert planned.cell is not None
    return planned.cell


def _trace(planned: PlannedCell) -> Trace:
    """What changes in the folder of a cell when it begins, and when it fails."""
    folder = _cell(planned).folder
    return tuple(
        (file.stat().st_mtime_ns, file.stat().st_size) if file.exists() else None
        for file in (folder.log, folder.failure)
    )


def _absolute(planned: PlannedCell) -> list[str]:
    """The overrides of a cell with its paths made absolute: a job may start in another folder."""
    cell = _cell(planned)
    data = cell.config.data
    paths = {"hydra.sweep.dir": str(cell.folder.path.parent), "data.root": data.root}
    if data.get("dir"):
        paths["data.dir"] = data.dir
    absolute = [f"{key}={_quoted(path)}" for key, path in paths.items()]
    return [*planned.overrides, f"hydra.sweep.subdir={_quoted(cell.folder.path.name)}", *absolute]


def _quoted(text: str) -> str:
    """A string as Hydra's overrides take it whatever characters it holds."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _outcome(planned: PlannedCell, job: Any, before: Trace) -> Outcome:
    """What a job says of itself; for one that died, what its folder says."""
    try:
        value = job.return_value
    except Exception as error:  # the job's own exception, kept by Hydra, or the launcher's
        return _recorded_end(planned, before) or _failed(planned, f"{type(error).__name__}: {error}")
    if isinstance(value, Outcome):
        return value
    return _recorded_end(planned, before) or _failed(planned, f"the job ended without an outcome: {value!r}")


def _recorded_end(planned: PlannedCell, before: Trace) -> Outcome | None:
    """The end of a cell as far as its folder tells it; `before` is its trace when it was launched."""
    cell = _cell(planned)
    info = prepared_info(cell.source(), cell.config.data.root)
    if info is not None and cell.is_finished(cell.settings(info)):
        return Outcome("finished", str(cell.folder.path))
    failure = read_json(cell.folder.failure)
    if failure is None or _trace(planned)[1] == before[1]:
        return None
    return _failed(planned, f"{failure['error']}: {failure['message']}")


def _failed(planned: PlannedCell, message: str) -> Outcome:
    return Outcome("failed", str(_cell(planned).folder.path), message)


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
        cell = _cell(planned)
        metrics = read_json(cell.folder.metrics) if outcome.status != "failed" else None
        probes = metrics["probes"] if metrics else {}
        table.add_row(
            cell.config.data.name,
            cell.choices["bottleneck"],
            str(cell.config.seed),
            outcome.status,
            *(percent(probes.get(name)) for name in PROBE_METRICS),
        )
    return table
