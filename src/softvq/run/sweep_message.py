"""What a sweep tells its jobs: whose they are, what they record of it, and when to stop."""

import atexit
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from traceback import walk_tb
from typing import Any

from omegaconf import DictConfig

from softvq import stop
from softvq.config.launcher import kind
from softvq.config.overrides import quoted
from softvq.run.process import each_look, end_with, forget_foreign_ranks
from softvq.surroundings import shut_out_matplotlib_settings


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

    each_look(look, "stop_with_sweep")


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
        case "submitit" if all(thread.name != "end_with" for thread in threading.enumerate()):
            end_with(message.pid, is_parent=False)  # submitit puts a process of its own between the two
            stop_with_sweep(Path(message.stop_file))
        case "ray" | "slurm":
            forget_foreign_ranks()
            stop.forget()
            stop.listen()


def left_by_submitit(error: SystemExit) -> bool:
    """Whether it is submitit that exits: it has queued the job anew, because its time was up."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return "submitit" in Path(frame.f_code.co_filename).parts[:-1]
