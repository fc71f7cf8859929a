"""Runs in forked processes that can be killed at any moment: a fork has loaded everything already."""

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Trial:
    """What became of a run that was killed again and again.

    Attributes:
        kills: how many processes were killed while they ran.
        sessions: how many were started, the last of which ended by itself.
    """

    kills: int = 0
    sessions: int = 0


def start(work: Callable[[], None], log: Path) -> int:
    """Forks a process that does some work and ends with status 0, or 1 if it raises; returns its number."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        work()
        status = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def wait(pid: int, at_most_s: float) -> int | None:
    """The status of a process that ended by then, negative by a signal; None if it goes on."""
    until = time.monotonic() + at_most_s
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.002)


def killed_at_random(work: Callable[[], None], log: Path, kills: int, within_s: float, chance: random.Random) -> Trial:
    """Starts the work again and again, and kills it at a random moment, until it has been killed often enough.

    Args:
        work: is done once more at the end, undisturbed.
        log: takes what the processes print.
        kills: how many.
        within_s: a kill comes at most so many seconds after the start.
        chance: where the moments come from.

    Raises:
        AssertionError: if a process fails by itself.
    """
    trial = Trial()
    while True:
        pid = start(work, log)
        trial.sessions += 1
        last = trial.kills >= kills or trial.sessions > 4 * kills
        status = wait(pid, 600 if last else chance.uniform(0, within_s))
        if status is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            trial.kills += 1
        else:
            assert status == 0, log.read_text()[-2000:]
            if last:
                return trial
