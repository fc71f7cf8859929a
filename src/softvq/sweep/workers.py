"""Has joblib's workers load torch and build models while a sweep is still being planned."""

import gc
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

from omegaconf import DictConfig, OmegaConf

from softvq.config.launcher import jobs_at_a_time, kind
from softvq.run.process import belong_to_sweep

WATCH_S = 0.5
LAST = -1000  # of what a process does at its end
# Of a process that Lightning started for one of several devices; the first one holds the lock and writes.
RANK = int(os.environ.get("LOCAL_RANK", 0))
SWEEP_PID = "SOFTVQ_SWEEP_PID"  # tells the jobs on this machine whose they are

X = TypeVar("X")
Y = TypeVar("Y")


class Call(Protocol):
    """Calls a function of each of some arguments and returns its values in their order.

    `jobs` is how many jobs are to follow, which may want as many processes.
    """

    def __call__(self, function: Callable[[X], Y], arguments: Sequence[X], jobs: int) -> list[Y]: ...


def call_here(function: Callable[[X], Y], arguments: Sequence[X], jobs: int) -> list[Y]:
    """Calls in this process, one after the other."""
    return [function(argument) for argument in arguments]


def call_in_workers(launcher: DictConfig) -> Call:
    """Calls in joblib's workers, if it is they that are going to run the cells; else in this process.

    A worker takes some seconds to load torch and Lightning. This way it does so while the sweep is planned, and the
    sweep's own process loads neither.
    """
    at_a_time = jobs_at_a_time(launcher)
    if kind(launcher) != "joblib" or at_a_time == 1:
        return call_here

    def call(function: Callable[[X], Y], arguments: Sequence[X], jobs: int) -> list[Y]:
        from hydra_plugins.hydra_joblib_launcher._core import process_joblib_cfg
        from joblib import Parallel, delayed

        settings: dict[str, Any] = OmegaConf.to_container(launcher, resolve=True)  # type: ignore[assignment]
        settings.pop("_target_")
        process_joblib_cfg(settings)  # its numbers are words
        idle = max(0, min(at_a_time, jobs) - len(arguments))
        # With the launcher's own settings joblib gives it the same workers afterwards.
        values = Parallel(**settings | {"backend": "loky"})(
            [
                *(delayed(_call_in_worker)(launcher, function, argument) for argument in arguments),
                *[delayed(_call_in_worker)(launcher, _nothing, None)] * idle,
            ]
        )
        return values[: len(arguments)]

    return call


def _call_in_worker(launcher: DictConfig, function: Callable[[X], Y], argument: X) -> Y:
    belong_to_sweep(launcher)
    _load()
    return function(argument)


@cache
def _load() -> None:
    """Loads what a cell needs, once a process."""
    import softvq.run.train  # noqa: F401

    # joblib has garbage collected between two cells, which takes a third of a second if it looks at all of this.
    gc.freeze()


def _nothing(_: None) -> None:
    """What a worker is asked for that need only load."""
