"""What our launchers share: each job's end is told as it comes, and one that died leaves the others their results.

Hydra looks for plugins in every module of this package whose name has no underscore in front.
"""

from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

LOOK_S = 0.5  # between two looks at whether jobs have ended


class LostJob(JobReturn):
    """The return of a job that did not come back: reading its value raises what is known of its end."""

    def __init__(self, overrides: Sequence[str], error: BaseException) -> None:
        super().__init__(overrides=overrides, status=JobStatus.FAILED)
        self.error = error

    @property
    def return_value(self) -> Any:
        raise self.error


def returned(overrides: Sequence[str], get: Callable[[], JobReturn]) -> JobReturn:
    """What a job returned, or in its place what became of it."""
    try:
        return get()
    except Exception as error:  # the launcher's word for a job that died
        return LostJob(overrides, error)


def run_here(
    context: HydraContext, sweep: DictConfig, task: TaskFunction, state: Any, number: int, overrides: Sequence[str]
) -> JobReturn:
    """Composes a job's configuration and runs it in this process, unless the sweep was told to stop.

    Args:
        context: Hydra's.
        sweep: its configuration.
        task: the program.
        state: of Hydra, as it is where the sweep was started.
        number: of the job in the sweep.
        overrides: its own.
    """
    from softvq import stop

    if signum := stop.requested():
        return LostJob(overrides, stop.Stopped(signum))
    setup_globals()
    Singleton.set_state(state)
    config = context.config_loader.load_sweep_config(sweep, list(overrides))
    with open_dict(config):
        config.hydra.job.id, config.hydra.job.num = str(number), number
    HydraConfig.instance().set_config(config)
    return run_job(
        hydra_context=context,
        task_function=task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


class Reporting:
    """A launcher that tells of each job as it ends.

    Attributes:
        on_return: called with the number of a job in the sweep and what it returned.
    """

    on_return: Callable[[int, JobReturn], None] | None = None

    def tell(self, number: int, answer: JobReturn) -> None:
        """Tells of the end of a job."""
        if self.on_return is not None:
            self.on_return(number, answer)
