"""A sweep: what is missing of a grid of cells is run, and every cell's end is told."""

from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from softvq.config import CONF_DIR, cores
from softvq.console import screen
from softvq.experiment import Cell
from softvq.plan import PENDING, PlannedCell, make_plan, plan_table, summary_lines
from softvq.published import PROBE_METRICS
from softvq.runs import Outcome, read_json
from softvq.summary import LABELS, percent


class SweepResult:
    """How the last sweep of this process ended; Hydra hands no sweep's value back to its program."""

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
    return "hydra" in content or any("hydra/" in str(key) for entry in defaults if isinstance(entry, dict) for key in entry)


def run(
    cells: Sequence[Sequence[str]],
    read: Callable[[Sequence[str]], Cell],
    launch: Callable[[Sequence[Sequence[str]]], list[Any]],
    config: DictConfig,
    plan_only: bool,
) -> list[Outcome]:
    """Plans the cells, launches what is missing and shows how each ended.

    Nothing is launched if a cell is invalid: all such cells are listed at once.
    """
    SweepResult.exit_code = 0
    plan = make_plan(cells, read, str)
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
    outcomes = {planned.name: Outcome("skipped", str(_folder(planned))) for planned in plan.having("finished")}
    pending = plan.having(*PENDING)
    for planned, job in zip(pending, launch([p.overrides for p in pending]) if pending else [], strict=True):
        outcomes[planned.name] = _outcome(planned, job)
    ended = [(planned, outcomes[planned.name]) for planned in plan.cells if planned.name in outcomes]
    screen.print(closing_table(ended))
    failed = [outcome for _, outcome in ended if outcome.status == "failed"]
    for outcome in failed:
        screen.print(f"failed: {outcome.folder}\n  {outcome.message}")
    SweepResult.exit_code = 1 if failed else 0
    return [outcome for _, outcome in ended]


def _folder(planned: PlannedCell) -> Any:
    assert planned.cell is not None
    return planned.cell.folder.path


def _outcome(planned: PlannedCell, job: Any) -> Outcome:
    """What a job says of itself; a job that died has said nothing."""
    try:
        value = job.return_value
    except Exception as error:  # the job's own exception, kept by Hydra, or the launcher's
        return Outcome("failed", str(_folder(planned)), f"{type(error).__name__}: {error}")
    if isinstance(value, Outcome):
        return value
    return Outcome("failed", str(_folder(planned)), f"the job ended without an outcome: {value!r}")


def jobs_at_a_time(launcher: DictConfig) -> int:
    """Cells that the launcher runs at once on this machine, for the estimate."""
    if "n_jobs" in launcher:
        return launcher.n_jobs if launcher.n_jobs > 0 else cores()
    return 1


def closing_table(ended: Sequence[tuple[PlannedCell, Outcome]]) -> Table:
    """How each cell ended, with its probe results in percent."""
    counts = {status: sum(o.status == status for _, o in ended) for status in ("finished", "skipped", "failed")}
    table = Table(title=", ".join(f"{count} {status}" for status, count in counts.items()))
    for column in ("data", "bottleneck", "seed", "status"):
        table.add_column(column)
    for name in PROBE_METRICS:
        table.add_column(f"{LABELS[name]} (%)", justify="right")
    for planned, outcome in ended:
        assert planned.cell is not None
        metrics = read_json(planned.cell.folder.metrics) or {"probes": {}}
        table.add_row(
            planned.cell.config.data.name,
            planned.cell.choices["bottleneck"],
            str(planned.cell.config.seed),
            outcome.status,
            *(percent(metrics["probes"].get(name)) for name in PROBE_METRICS),
        )
    return table


