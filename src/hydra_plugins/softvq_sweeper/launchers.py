"""Launchers for Slurm and Ray that wait for every job: one that died leaves the others their results.

Hydra's own stop at the first job that did not come back, and leave the rest running with nobody to hear of them.
"""

import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from softvq.extras import needed

try:
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
except ModuleNotFoundError:  # Hydra imports this module whatever is launched; without the extra, Slurm cannot be chosen
    BaseSubmititLauncher = Launcher

LOOK_S = 0.5  # at the jobs' results
ASK_S = 5.0  # Slurm's queue
GRACE_S = 10.0  # for the result of a job that has left the queue to be seen on a shared disk
GPU_SHARE = 0.25
# States in which a job may still bring a result.
UNDER_WAY = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "RESIZING", "STAGE_OUT", "SUSPENDED")
UNDER_WAY += ("REQUEUE_HOLD", "REQUEUE_FED", "SIGNALING", "STOPPED", "SPECIAL_EXIT")


def returned(overrides: Sequence[str], get: Callable[[], JobReturn]) -> JobReturn:
    """What a job returned, or in its place what became of it."""
    try:
        return get()
    except Exception as error:  # the launcher's word for a job that died
        return died(overrides, error)


def died(overrides: Sequence[str], error: Exception) -> JobReturn:
    """The return of a job that did not come back."""
    answer = JobReturn(overrides=overrides, status=JobStatus.FAILED)
    answer.return_value = error
    return answer


class SubmititLauncher(BaseSubmititLauncher):
    """Each cell a job of submitit on this machine, as many at a time as there are cores for: Slurm's stand-in."""

    _EXECUTOR = "local"

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from softvq.config.launcher import jobs_at_a_time

        assert self.config is not None
        size = jobs_at_a_time(self.config.hydra.launcher)
        returns: list[JobReturn] = []
        for start in range(0, len(job_overrides), size):
            cells = job_overrides[start : start + size]
            jobs = self._submit(cells, initial_job_idx + start)
            returns += [returned(cell, lambda job=job: job.results()[0]) for cell, job in zip(cells, jobs, strict=True)]
        return returns

    def _submit(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[Any]:
        import submitit

        settings = dict(self.params)
        about = {"folder": settings.pop("submitit_folder")}
        if "max_num_timeout" in settings:
            about[f"{self._EXECUTOR}_max_num_timeout"] = settings.pop("max_num_timeout")
        executor = submitit.AutoExecutor(cluster=self._EXECUTOR, **about)
        common = OmegaConf.structured(BaseQueueConf)
        executor.update_parameters(
            **{key if key in common else f"{self._EXECUTOR}_{key}": value for key, value in settings.items()}
        )
        state = Singleton.get_state()
        numbers = range(first, first + len(job_overrides))
        jobs = [
            (list(overrides), "hydra.sweep.dir", n, str(n), state)
            for overrides, n in zip(job_overrides, numbers, strict=True)
        ]
        return executor.map_array(self, *zip(*jobs, strict=True))


class SlurmLauncher(SubmititLauncher):
    """Each cell a job of a Slurm cluster, all in one array.

    A job is given up when it has left Slurm's queue without a result. That is asked of the queue, as submitit's own
    way needs Slurm's accounting, which not every cluster keeps.
    """

    _EXECUTOR = "slurm"

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        jobs = self._submit(job_overrides, initial_job_idx)
        waiting = {job.job_id: (job, cell) for job, cell in zip(jobs, job_overrides, strict=True)}
        returns: dict[str, JobReturn] = {}
        gone: dict[str, float] = {}  # since when
        asked = time.monotonic()
        while waiting:
            time.sleep(LOOK_S)
            now = time.monotonic()
            states: dict[str, str] | None = None
            if now - asked > ASK_S:
                states, asked = queue_states(waiting), now
            for name, (job, cell) in list(waiting.items()):
                state = (
                    None if states is None else states.get(name, "CANCELLED")
                )  # so while it waited: forgotten at once
                if job.paths.result_pickle.exists():
                    returns[name] = returned(cell, lambda job=job: job.results()[0])
                elif state is not None and state not in UNDER_WAY:
                    if now - gone.setdefault(name, now) > GRACE_S:
                        message = f"Slurm job {name} ended as {state}; see {job.paths.stderr}"
                        returns[name] = died(cell, RuntimeError(message))
                elif state is not None:
                    gone.pop(name, None)
                if name in returns:
                    del waiting[name]
        return [returns[job.job_id] for job in jobs]


def queue_states(names: Sequence[str] | dict[str, Any]) -> dict[str, str] | None:
    """Slurm's states of jobs by name; those it has forgotten are missing. None if it does not answer."""
    arrays = sorted({name.split("_")[0] for name in names})
    answer = subprocess.run(
        ["squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(arrays)}", "--format=%i %T"],
        capture_output=True,
        text=True,
    )
    if answer.returncode:
        return {} if "Invalid job id" in answer.stderr else None
    return dict(line.split() for line in answer.stdout.splitlines())


class RayLauncher(Launcher):
    """Each cell a task of a Ray cluster: one that runs, or one that Ray starts on this machine.

    Args:
        ray: `init`, what `ray.init` is told, and `remote`, what each task asks for; there `num_gpus` null is a share
            of a card if the cluster has cards, else none.
    """

    def __init__(self, ray: DictConfig) -> None:
        self.settings: Any = OmegaConf.to_container(ray, resolve=True)
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None
        self.config: DictConfig | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        with needed("hydra/launcher=local_ray", "ray"):
            import ray

        assert self.hydra_context is not None
        assert self.config is not None
        if not ray.is_initialized():
            ray.init(**self.settings["init"])
        task = ray.remote(**self._request(ray.cluster_resources()))(_run)
        references = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            with open_dict(config):
                config.hydra.job.id, config.hydra.job.num = str(number), number
            references.append(task.remote(self.hydra_context, config, self.task_function, Singleton.get_state()))
        return [
            returned(cell, lambda reference=reference: ray.get(reference))
            for cell, reference in zip(job_overrides, references, strict=True)
        ]

    def _request(self, cluster: dict[str, float]) -> dict[str, Any]:
        """What each task asks the cluster for.

        Raises:
            ValueError: if it asks for more than any cluster like this has; Ray would wait for ever.
        """
        request = dict(self.settings["remote"])
        cards, cores = cluster.get("GPU", 0), cluster.get("CPU", 0)
        if request["num_gpus"] is None:
            request["num_gpus"] = GPU_SHARE if cards else 0
        for name, there in (("num_gpus", cards), ("num_cpus", cores)):
            if request[name] > there:
                raise ValueError(
                    f"hydra.launcher.ray.remote.{name} is {request[name]} and the Ray cluster has {there:g} in all"
                )
        return request


def _run(hydra_context: HydraContext, config: DictConfig, task_function: TaskFunction, state: Any) -> JobReturn:
    setup_globals()
    Singleton.set_state(state)
    HydraConfig.instance().set_config(config)
    return run_job(
        hydra_context=hydra_context,
        task_function=task_function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
