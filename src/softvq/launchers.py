"""What a job of a sweep must know of the launcher that started it: its share of the cores, and when to stop."""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Protocol, TypeVar

from omegaconf import DictConfig, OmegaConf

from softvq.config import cores

WATCH_S = 0.5
LAST = -1000  # of what a process does at its end
# Of a process that Lightning started for one of several devices; the first one holds the lock and writes.
RANK = int(os.environ.get("LOCAL_RANK", 0))
SWEEP_PID = "SOFTVQ_SWEEP_PID"  # tells the jobs on this machine whose they are

X = TypeVar("X")
Y = TypeVar("Y")


class Call(Protocol):
    """Calls a function of each of some arguments and returns its values in their order.

    `jobs` is how many jobs are to follow, which may want as many processes.
    """

    def __call__(self, function: Callable[[X], Y], arguments: Sequence[X], jobs: int) -> list[Y]: ...


def kind(launcher: DictConfig | None) -> str:
    """`joblib`, `ray`, `slurm`, `submitit` (Slurm's stand-in on one machine) or `basic` for the one in this process."""
    settings: Any = launcher or {}
    if "n_jobs" in settings:
        return "joblib"
    if "ray" in settings:
        return "ray"
    if "cpus_per_task" in settings:
        return "slurm" if "partition" in settings else "submitit"
    return "basic"


def threads_of_job(launcher: DictConfig | None) -> int:
    """Threads for one job, so that jobs x threads = cores; all cores for a job that runs alone.

    Args:
        launcher: Hydra's launcher configuration; None outside a sweep.
    """
    settings: Any = launcher or {}
    match kind(launcher):
        case "joblib":
            return max(1, cores() // jobs_at_a_time(settings))
        case "ray":
            return max(1, int(settings["ray"]["remote"].get("num_cpus") or 1))
        case "slurm" | "submitit":
            return int(settings["cpus_per_task"] or 1)
    return cores()


def check_launcher(launcher: DictConfig) -> None:
    """Refuses settings on which a launcher stops in its own words.

    Raises:
        ValueError: for a joblib that is to run no job.
    """
    if kind(launcher) == "joblib" and launcher.n_jobs == 0:
        raise ValueError("hydra.launcher.n_jobs must be a number of jobs, or -1 for one a core, got 0")


def jobs_at_a_time(launcher: DictConfig) -> int:
    """Cells that run at once on this machine; of a cluster, whose size is not known here, 1."""
    settings: Any = launcher
    match kind(launcher):
        case "joblib":
            jobs = settings["n_jobs"]
            return jobs if jobs > 0 else max(1, cores() + 1 + jobs)  # joblib: -1 is all cores, -2 all but one
        case "submitit":
            return max(1, cores() // threads_of_job(launcher))
    return 1


def call_here(function: Callable[[X], Y], arguments: Sequence[X], jobs: int) -> list[Y]:
    """Calls in this process, one after the other."""
    return [function(argument) for argument in arguments]


def call_in_workers(launcher: DictConfig) -> Call:
    """Calls in joblib's workers, if it is they that are going to run the cells; else in this process.

    A worker takes some seconds to load torch and Lightning. This way it does so while the sweep is planned, and the
    sweep's own process loads neither.
    """
    at_a_time = jobs_at_a_time(launcher)
    if kind(launcher) != "joblib" or at_a_time == 1:
        return call_here

    def call(function: Callable[[X], Y], arguments: Sequence[X], jobs: int) -> list[Y]:
        from hydra_plugins.hydra_joblib_launcher._core import process_joblib_cfg
        from joblib import Parallel, delayed

        settings: dict[str, Any] = OmegaConf.to_container(launcher, resolve=True)  # type: ignore[assignment]
        settings.pop("_target_")
        process_joblib_cfg(settings)  # its numbers are words
        idle = max(0, min(at_a_time, jobs) - len(arguments))
        # With the launcher's own settings joblib gives it the same workers afterwards.
        values = Parallel(**settings | {"backend": "loky"})(
            [
                *(delayed(_call_in_worker)(launcher, function, argument) for argument in arguments),
                *[delayed(_call_in_worker)(launcher, _nothing, None)] * idle,
            ]
        )
        return values[: len(arguments)]

    return call


def _call_in_worker(launcher: DictConfig, function: Callable[[X], Y], argument: X) -> Y:
    belong_to_sweep(launcher)
    _load()
    return function(argument)


@cache
def _load() -> None:
    """Loads what a cell needs, once a process."""
    import softvq.cell  # noqa: F401

    # joblib has garbage collected between two cells, which takes a third of a second if it looks at all of this.
    gc.freeze()


def _nothing(_: None) -> None:
    """What a worker is asked for that need only load."""


def announce_sweep() -> None:
    """Tells the workers that this process starts whose they are; see `belong_to_sweep`."""
    os.environ[SWEEP_PID] = str(os.getpid())


def belong_to_sweep(launcher: DictConfig) -> None:
    """Ends this process with the sweep that started it; for workers on the sweep's machine.

    A killed sweep must not go on in workers that nobody waits for: the next sweep would wait for their locks. Ray
    ends its own workers; the jobs of a Slurm cluster are Slurm's, and outlive the command that queued them.
    """
    if kind(launcher) not in ("joblib", "submitit") or SWEEP_PID not in os.environ:
        return
    sweep = int(os.environ[SWEEP_PID])
    alone = sweep == os.getpid()  # joblib needs no worker for one job at a time
    if alone or any(thread.name == "belong_to_sweep" for thread in threading.enumerate()):
        return
    child = kind(launcher) == "joblib"  # submitit puts a process of its own between the sweep and the job
    if child:
        Finalize(None, _leave, exitpriority=LAST)

    def watch() -> None:
        while os.getppid() == sweep if child else _exists(sweep):
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="belong_to_sweep", daemon=True).start()


def _leave() -> None:
    """Ends a worker that has handed over all it did; Python would take seconds to take torch's objects apart.

    Nothing registered with `atexit` is called: a cell closes what it opened.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def told_to_stop(error: BaseException) -> bool:
    """Whether somebody stopped the process, by Ctrl-C, SIGTERM or a Slurm time limit, rather than the cell itself.

    Lightning turns Ctrl-C into an exit; submitit exits when it has queued a job anew.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, KeyboardInterrupt) or type(link).__name__ == "SIGTERMException":
            return True
        link = link.__context__
    trace = error.__traceback__
    while trace is not None:
        if "submitit" in Path(trace.tb_frame.f_code.co_filename).parts[:-1] and trace.tb_next is None:
            return True
        trace = trace.tb_next
    return False
