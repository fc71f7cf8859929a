"""What a run must know of its process: who started it, which of several devices it serves, and when to stop."""

import os
import sys
import threading
import time
from multiprocessing.util import Finalize
from pathlib import Path

from omegaconf import DictConfig

from softvq.config.launcher import kind

WATCH_S = 0.5
LAST = -1000  # the priority of what multiprocessing calls last when a process ends
# Of a process that Lightning started for one of several devices; the first one holds the lock and writes.
RANK = int(os.environ.get("LOCAL_RANK", 0))
SWEEP_PID = "SOFTVQ_SWEEP_PID"  # tells the jobs on this machine whose they are


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
