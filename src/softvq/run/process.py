"""Which of a run's processes this one is, and when it ends: with the process that started it, and without delay."""

import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.util import Finalize
from typing import Any

LOOK_S = 0.25  # between two looks at whether the parent lives, or has told this process to stop
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
    each_look(lambda: lives() or os._exit(1), "end_with")


def each_look(look: Callable[[], Any], name: str) -> None:
    """Calls a function every quarter of a second, in a thread of that name."""

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
