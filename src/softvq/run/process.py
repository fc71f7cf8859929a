"""What this process is to a run: a device's process or a sweep's worker, and when it must end."""

import atexit
import ctypes
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from softvq import stop
from softvq.config.launcher import kind
from softvq.config.overrides import quoted
from softvq.surroundings import shut_out_matplotlib_settings

LOOK_S = 0.25  # between two looks at whether the parent lives and what it says
LAST = -1000  # the priority of what multiprocessing calls last when a process ends
SET_PARENT_DEATH_SIGNAL = 1  # Linux's PR_SET_PDEATHSIG

# What the first process of a run on several devices tells those that it starts: PID:RANK:PORT, PID its own.
DEVICE = "SOFTVQ_DEVICE"

# What other launchers tell their processes. A login shell or notebook on a cluster may have them by accident.
FOREIGN_RANKS = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "ROLE_RANK", "JSM_NAMESPACE_RANK", "SLURM_PROCID"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "SLURM_LOCALID"),
    *("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"),
)


def _rank_and_port() -> tuple[int, int | None]:
    """This process's number among those of several devices, and where they meet.

    The number is 0, and there is no port, unless the first process of a run has started this one.
    """
    told = re.fullmatch(r"(\d+):(\d+):(\d+)", os.environ.get(DEVICE, ""))
    return (int(told[2]), int(told[3])) if told and int(told[1]) == os.getppid() else (0, None)


RANK, PORT = _rank_and_port()


def forget_foreign_ranks() -> None:
    """Removes what would make this process one of several to Lightning or torch; before either is imported.

    A run is a further process of several devices only where its own first process started it.
    """
    for name in FOREIGN_RANKS:
        os.environ.pop(name, None)


def end_with(parent: int, is_parent: bool = True) -> None:
    """Ends this process when another one ends, whatever this one is doing.

    Args:
        parent: the process that this one belongs to.
        is_parent: whether it is the direct parent; else one further up.
    """
    if is_parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)

    def lives() -> bool:
        return os.getppid() == parent if is_parent else _exists(parent)

    if not lives():  # it died before this process could ask to be told
        os._exit(1)
    _each_look(lambda: lives() or os._exit(1), "end_with")


def _each_look(look: Callable[[], Any], name: str) -> None:
    def watch() -> None:
        while True:
            time.sleep(LOOK_S)
            look()

    threading.Thread(target=watch, name=name, daemon=True).start()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def leave_quickly() -> None:
    """Has this process, a worker that has returned all its results, end without delay.

    Python would take seconds to take torch's objects apart. Nothing that is registered with `atexit` is called: a cell
    closes what it opened.
    """
    Finalize(None, _leave, exitpriority=LAST)


def _leave() -> None:
    with suppress(OSError, ValueError):  # of streams that are closed
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def stop_with_sweep(stop_file: Path) -> None:
    """Stops this process in good order when a file appears, which holds a signal's number.

    A sweep tells its workers in this way: a signal that is sent to the sweep alone does not reach them, and one from a
    terminal reaches them beside the sweep.
    """
    stop.listen(to_parent=True)
    told = threading.Event()

    def look() -> None:
        if not told.is_set() and stop_file.exists():
            told.set()
            stop.tell(int(stop_file.read_text()))

    _each_look(look, "stop_with_sweep")


@cache
def stop_file() -> Path:
    """The file by which this process, a sweep, tells its workers to stop; in a folder of this process alone."""
    folder = tempfile.mkdtemp(prefix="softvq-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder, "stop")


def stop_workers(signum: int) -> None:
    """Tells the workers of this process, a sweep, to stop; see `stop_with_sweep`."""
    partial = stop_file().with_suffix(".partial")
    partial.write_text(str(int(signum)))
    partial.replace(stop_file())


@dataclass(frozen=True)
class SweepMessage:
    """What a sweep tells each of its jobs, under `hydra.sweeper.job`.

    Attributes:
        pid: of the sweep's process.
        stop_file: appears when the sweep is told to stop; see `stop_with_sweep`.
        command: the sweep's program and its arguments, which a run records.
        seeds: of a job of several seeds, the folder of each; empty for a single cell.
    """

    pid: int
    stop_file: str
    command: list[str]
    seeds: dict[int, str]


def job_override(seeds: Mapping[int, str]) -> str:
    """The override by which this process, a sweep, tells a job what `message_of_sweep` reads.

    Args:
        seeds: of a job of several seeds, the folder of each; empty for a single cell.
    """
    folders = ",".join(f"{seed}:{quoted(folder)}" for seed, folder in seeds.items())
    about = {
        "pid": os.getpid(),
        "stop_file": quoted(str(stop_file())),
        "command": f"[{','.join(map(quoted, sys.argv))}]",
        "seeds": f"{{{folders}}}",
    }
    return f"+hydra.sweeper.job={{{','.join(f'{key}:{value}' for key, value in about.items())}}}"


def message_of_sweep(hydra: Any) -> SweepMessage | None:
    """What the sweep has told this job; None for a single run, or under another sweeper than ours."""
    told = hydra.sweeper.get("job")
    if told is None:
        return None
    seeds = {int(seed): str(folder) for seed, folder in told.seeds.items()}
    return SweepMessage(told.pid, told.stop_file, list(told.command), seeds)


def belong_to_sweep(message: SweepMessage, launcher: DictConfig) -> None:
    """Makes this process, in which a job of a sweep begins, end and stop with the sweep.

    A killed sweep must not go on in workers that nobody waits for: the next sweep would wait for their locks. joblib's
    workers are told when they start, see `sweep.workers`. Ray ends and interrupts its workers itself. The jobs of a
    Slurm cluster are Slurm's: they outlive the command that queued them, and heed the SIGTERM that `scancel` sends.
    """
    sys.argv = message.command
    shut_out_matplotlib_settings()
    match kind(launcher):
        case "submitit" if not _running("end_with"):
            end_with(message.pid, is_parent=False)  # submitit puts a process of its own between the two
            stop_with_sweep(Path(message.stop_file))
        case "ray" | "slurm":
            forget_foreign_ranks()
            stop.forget()
            stop.listen()


def _running(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())


def left_by_submitit(error: SystemExit) -> bool:
    """Whether it is submitit that exits: it has queued the job anew, because its time was up."""
    trace = error.__traceback__
    while trace is not None:
        if "submitit" in Path(trace.tb_frame.f_code.co_filename).parts[:-1] and trace.tb_next is None:
            return True
        trace = trace.tb_next
    return False
