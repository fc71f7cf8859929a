"""What a launcher's settings say: which one it is, how many jobs run at once, and how many threads each has."""

from typing import Any

from omegaconf import DictConfig

from softvq.machine import cores


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
