"""The launcher for one machine: jobs in joblib's worker processes, which the sweep starts while it plans."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.softvq_sweeper._jobs import Reporting, run_here


class JoblibLauncher(Reporting, Launcher):
    """As many jobs at a time as there are workers.

    Args:
        n_jobs: workers; -1 for one a core.
    """

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs = n_jobs
        self._parts: tuple[HydraContext, DictConfig, TaskFunction] | None = None
        self._most = 0  # jobs that were launched together

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._parts = (hydra_context, config, task_function)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from softvq.sweep.workers import workers_of

        assert self._parts is not None
        _, config, _ = self._parts
        run = partial(_run, *self._parts, Singleton.get_state())
        returns: dict[int, JobReturn] = {}
        jobs = list(enumerate(job_overrides, start=initial_job_idx))
        self._most = max(self._most, len(jobs))  # a job that killed its worker is launched alone, in a worker, too
        for number, answer in workers_of(config.hydra.launcher, self._most)(run, jobs):
            returns[number] = answer
            self.tell(initial_job_idx + number, answer)
        return [returns[number] for number in range(len(jobs))]


def _run(context: HydraContext, sweep: DictConfig, task: TaskFunction, state: Any, job: tuple[int, Any]) -> JobReturn:
    return run_here(context, sweep, task, state, *job)
