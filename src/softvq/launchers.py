"""What a job of a sweep must know of the launcher that started it: its share of the cores, and when to stop."""

import os
import threading
import time
from typing import Any

from omegaconf import DictConfig

from softvq.config import cores

WATCH_S = 0.5


def threads_of_job(launcher: DictConfig | None) -> int:
    """Threads for one job, so that jobs x threads = cores; all cores for a job that runs alone.

    Args:
        launcher: Hydra's launcher configuration; None outside a sweep.
    """
    settings: Any = launcher or {}
    if "n_jobs" in settings:  # joblib
        jobs = settings["n_jobs"] if settings["n_jobs"] > 0 else cores()
        return max(1, cores() // jobs)
    if "ray" in settings:
        return max(1, int(settings["ray"]["remote"].get("num_cpus") or 1))
    if "cpus_per_task" in settings:  # submitit
        return int(settings["cpus_per_task"] or 1)
    return cores()


def die_with_parent(launcher: DictConfig) -> None:
    """Ends this process when the process that started it is gone; for workers on the same machine.

    A killed sweep must not go on in workers that nobody waits for: the next sweep would wait for their locks.
    """
    if "n_jobs" not in launcher:  # joblib's workers are children of the sweep; other launchers end theirs themselves
        return
    parent = os.getppid()
    if any(thread.name == "die_with_parent" for thread in threading.enumerate()):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="die_with_parent", daemon=True).start()
