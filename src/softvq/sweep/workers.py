"""The worker processes of a sweep on one machine: joblib's, which are stopped and end together with the sweep.

The same workers first check the models while the sweep is planned and then run its jobs. A worker takes some seconds
to load torch and Lightning; this way it does so while the sweep is planned, whose own process loads neither.
"""

import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from omegaconf import DictConfig

from softvq import stop
from softvq.config.launcher import jobs_at_a_time, kind
from softvq.console import screen
from softvq.run.process import end_with, leave_quickly
from softvq.run.sweep_message import stop_file, stop_with_sweep
from softvq.surroundings import shut_out_matplotlib_settings

# Joblib's process that tidies up after workers takes this from `sys.warnoptions`: it would warn of each folder that a
# sweep, ended at once by a second Ctrl-C, has left to it.
TIDY_QUIETLY = "ignore:resource_tracker"

X = TypeVar("X")
Y = TypeVar("Y")


class Call(Protocol):
    """Calls a function of each of some arguments.

    Yields:
        The number of an argument and the value for it, in whatever order they come.
    """

    def __call__(self, function: Callable[[X], Y], arguments: Sequence[X]) -> Iterator[tuple[int, Y]]: ...


def call_here(function: Callable[[X], Y], arguments: Sequence[X]) -> Iterator[tuple[int, Y]]:
    """Calls in this process, one after the other."""
    for number, argument in enumerate(arguments):
        yield number, function(argument)


def workers_of(launcher: DictConfig, jobs: int) -> Call:
    """Calls in worker processes where the launcher runs a sweep's jobs in such, otherwise in this process.

    Args:
        launcher: Hydra's configuration of it.
        jobs: how many there are: there are no more workers.
    """
    workers = min(jobs_at_a_time(launcher), jobs)
    return partial(call_in_workers, workers=workers) if kind(launcher) == "joblib" and workers > 1 else call_here


def call_in_workers(function: Callable[[X], Y], arguments: Sequence[X], workers: int) -> Iterator[tuple[int, Y]]:
    """Calls in a number of worker processes; those of an earlier call are used again if there were as many.

    Raises:
        Exception: if a worker dies; the calls that have not come back by then are lost.
    """
    from multiprocessing import resource_tracker

    from joblib import Parallel, delayed

    if TIDY_QUIETLY not in sys.warnoptions:
        sys.warnoptions.append(TIDY_QUIETLY)
    # Joblib starts a worker anew that has come to hold more memory than its first call did, as after a larger data set.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    parallel: Any = Parallel(
        workers,
        backend="loky",
        batch_size=1,
        pre_dispatch="all",
        return_as="generator_unordered",
        max_nbytes=None,  # what is passed is small, so that joblib need not map it from files
        initializer=_begin_worker,
        initargs=(os.getpid(), str(stop_file())),
    )
    resource_tracker.ensure_running()  # first, since it lets the signals through again once its process has started
    with stop.kept_from_children():
        yield from parallel(delayed(_numbered)(function, *pair) for pair in enumerate(arguments))


def _numbered(function: Callable[[X], Y], number: int, argument: X) -> tuple[int, Y]:
    return number, function(argument)


def _begin_worker(sweep: int, stop_file: str) -> None:
    """Sets a worker up: called once, before its first function."""
    end_with(sweep)
    stop_with_sweep(Path(stop_file))
    leave_quickly()
    shut_out_matplotlib_settings()
    screen.mute()  # the sweep shows one line for all workers; what a cell prints goes to its run.log
    import softvq.run.train  # noqa: F401

    # joblib collects garbage between two calls; without the freeze it would look at all imported modules each time,
    # which takes a third of a second.
    gc.freeze()
