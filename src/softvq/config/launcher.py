"""What a launcher's settings say: which one it is, how many jobs run at once, and how many threads each has."""

from typing import Any

from omegaconf import DictConfig

from softvq.machine import cores

# The class that a launcher's settings name -> what it runs jobs with. Hydra's own may be named, too.
KINDS = {
    "BasicLauncher": "basic",  # one job after the other in the sweep's own process
    "JoblibLauncher": "joblib",
    "SubmititLauncher": "submitit",  # Slurm's stand-in on one machine
    "LocalLauncher": "submitit",
    "SlurmLauncher": "slurm",
    "RayLauncher": "ray",
}


def kind(launcher: DictConfig | None) -> str:
    """`basic`, `joblib`, `submitit`, `slurm` or `ray`; `other` for a launcher that is not known here.

    Args:
        launcher: Hydra's launcher configuration; None outside a sweep.
    """
    if launcher is None:
        return "basic"
    return KINDS.get(str(launcher.get("_target_", "")).rpartition(".")[2], "other")


def threads_of_job(launcher: DictConfig | None) -> int:
    """Threads for one job, so that jobs x threads = cores; all cores for a job that runs alone.

    Args:
        launcher: Hydra's launcher configuration; None outside a sweep.
    """
    settings: Any = launcher
    match kind(launcher):
        case "joblib":
            return max(1, cores() // jobs_at_a_time(settings))
        case "ray":
            return max(1, int(settings["ray"]["remote"].get("num_cpus") or 1))
        case "slurm" | "submitit":
            return int(settings["cpus_per_task"] or 1)
    return cores()


def check_launcher(launcher: DictConfig) -> None:
    """Refuses settings on which a launcher would stop in its own words.

    Raises:
        ValueError: for a joblib that is to run no job.
    """
    if kind(launcher) == "joblib" and (not isinstance(launcher.n_jobs, int) or launcher.n_jobs == 0):
        raise ValueError(f"hydra.launcher.n_jobs must be a number of jobs, or -1 for one a core, got {launcher.n_jobs}")


def jobs_at_a_time(launcher: DictConfig) -> int:
    """Jobs that run at once on this machine; of a cluster, whose size is not known here, 1."""
    settings: Any = launcher
    match kind(launcher):
        case "joblib":
            jobs = settings["n_jobs"]
            return jobs if jobs > 0 else max(1, cores() + 1 + jobs)  # joblib: -1 is all cores, -2 all but one
        case "submitit":
            return max(1, cores() // threads_of_job(launcher))
    return 1
