"""A sweep: runs what is missing of a grid of cells, and shows how each of them ended."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from softvq import stop
from softvq.config import errors
from softvq.config.compose import CONF_DIR
from softvq.config.launcher import jobs_at_a_time, kind
from softvq.console import screen
from softvq.run.cell import Cell, Outcome
from softvq.run.sweep_message import stop_file, stop_workers
from softvq.sweep.closing import closing_table
from softvq.sweep.dashboard import offline_runs, upload_hint
from softvq.sweep.launch import Launch, launch_all
from softvq.sweep.plan import PENDING, Plan, cell_of, jobs_of, make_plan
from softvq.sweep.plan_table import plan_table, summary_lines
from softvq.sweep.progress import SweepProgress
from softvq.sweep.swept import swept_keys
from softvq.sweep.workers import call_here, workers_of


class SweepResult:
    """How the last sweep of this process ended; Hydra hands no sweep's value back to its program.

    The exit code is 0, 1 where a cell is invalid or failed, 128 + signal where the sweep was told to stop.
    """

    exit_code = 0


def refuse_dropped_settings(overrides: Sequence[Any]) -> None:
    """Refuses several experiments in one sweep where Hydra would ignore the settings under `hydra` in their files.

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
        return False  # no such experiment: composing it gives the error
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

    Raises:
        Stopped: if the sweep was told to stop; what it had begun is saved.
    """
    begin()
    plan = plan_of(cells, read, config, plan_only)
    if plan_only:
        screen.print(plan_table(plan))
    for line in summary_lines(plan, jobs_at_a_time(config.hydra.launcher)):
        screen.print(line)
    if plan.having("invalid"):
        SweepResult.exit_code = 1
        screen.print_error("nothing was started: mend or drop the invalid cells")
        return []
    if plan_only:
        return []
    pending = plan.having(*PENDING)
    with SweepProgress(len(pending), config.hydra.launcher) as progress:
        progress.expect(pending, swept_keys(cells))
        outcomes = run_missing(plan, launch, config, progress)
    ended = [(planned, outcomes[planned.name]) for planned in plan.cells if planned.name in outcomes]
    screen.print(closing_table(ended))
    tell_of_the_end([outcome for _, outcome in ended])
    return [outcome for _, outcome in ended]


def begin() -> None:
    """Forgets how an earlier sweep of this process ended."""
    SweepResult.exit_code = 0
    stop_file().unlink(missing_ok=True)


def plan_of(
    cells: Sequence[Sequence[str]], read: Callable[[Sequence[str]], Cell], config: DictConfig, plan_only: bool
) -> Plan:
    """The plan of some cells, whose models are checked by the workers that are going to run them."""
    launcher = config.hydra.launcher
    call_of = (lambda _: call_here) if plan_only else partial(workers_of, launcher)
    return make_plan(cells, read, _explained, call_of, on_this_machine=kind(launcher) not in ("slurm", "ray"))


def run_missing(plan: Plan, launch: Launch, config: DictConfig, progress: SweepProgress) -> dict[str, Outcome]:
    """Launches what is missing of a plan; the outcomes of all its cells that are valid, by their names.

    Raises:
        Stopped: if the sweep was told to stop.
    """
    jobs = jobs_of(plan.having(*PENDING))
    outcomes = {
        planned.name: Outcome("skipped", str(cell_of(planned).folder.path)) for planned in plan.having("finished")
    }

    def tell(found: Mapping[str, Outcome]) -> None:
        outcomes.update(found)
        progress.ended(found)

    def where() -> str:
        """How far the sweep is: the cells that were running, or else how many are done."""
        broken_off = dict.fromkeys(o.message for o in outcomes.values() if o.status == "stopped" and o.message)
        return "; ".join(broken_off) or f"{progress.told()}, {config.hydra.sweep.dir}"

    with stop.noted(where, stop_workers):
        launch_all(jobs, launch, tell)
        if signum := stop.requested():
            progress.close()
            raise stop.Stopped(signum, where())
    return outcomes


def tell_of_the_end(outcomes: Sequence[Outcome]) -> None:
    """Says which cells failed and which runs are still to upload; sets the exit code."""
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed:
        screen.print(f"failed: {outcome.folder}\n  {outcome.message}")
    if failed:
        screen.print("the same command tries the failed cells again")
    if offline := offline_runs(*(Path(outcome.folder) for outcome in outcomes)):
        screen.print(upload_hint(offline))
    SweepResult.exit_code = 1 if failed else 0


def _explained(error: Exception, overrides: Sequence[str]) -> str:
    """What is wrong with the overrides of a cell; where they compose, the error's own words."""
    composing = isinstance(error, HydraException | OmegaConfBaseException)
    return "\n  ".join(errors.faults(overrides) if composing else []) or str(error)
