"""What a job of a sweep must know of the launcher that started it: its share of the cores, and when to stop."""

import os
import threading
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from softvq.config import cores

WATCH_S = 0.5
# Of a process that Lightning started for one of several devices; the first one holds the lock and writes.
RANK = int(os.environ.get("LOCAL_RANK", 0))
SWEEP_PID = "SOFTVQ_SWEEP_PID"  # tells the jobs on this machine whose they are


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


def announce_sweep() -> None:
    """Tells the workers that this process starts whose they are; see `die_with_sweep`."""
    os.environ[SWEEP_PID] = str(os.getpid())


def die_with_sweep(launcher: DictConfig) -> None:
    """Ends this process when the sweep that started it is gone; for workers on the sweep's machine.

    A killed sweep must not go on in workers that nobody waits for: the next sweep would wait for their locks. Ray
    ends its own workers; the jobs of a Slurm cluster are Slurm's, and outlive the command that queued them.
    """
    if kind(launcher) not in ("joblib", "submitit") or SWEEP_PID not in os.environ:
        return
    if any(thread.name == "die_with_sweep" for thread in threading.enumerate()):
        return
    sweep = int(os.environ[SWEEP_PID])
    child = kind(launcher) == "joblib"  # submitit puts a process of its own between the sweep and the job

    def watch() -> None:
        while os.getppid() == sweep if child else _exists(sweep):
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="die_with_sweep", daemon=True).start()


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
