"""The launcher for many cards or machines: jobs as tasks of a Ray cluster."""

from collections.abc import Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.softvq_sweeper._jobs import LOOK_S, Reporting, returned, run_here

GPU_SHARE = 0.25


class RayLauncher(Reporting, Launcher):
    """Each cell a task of a Ray cluster: one that runs, or one that Ray starts on this machine.

    Args:
        ray: `init`, what `ray.init` is told, and `remote`, what each task asks for; there `num_gpus` null is a share
            of a card if the cluster has cards, else none.
    """

    def __init__(self, ray: DictConfig) -> None:
        self.settings: Any = OmegaConf.to_container(ray, resolve=True)
        self._parts: tuple[HydraContext, DictConfig, TaskFunction] | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._parts = (hydra_context, config, task_function)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from softvq import stop
        from softvq.extras import needed

        with needed("hydra/launcher=local_ray", "ray"):
            import ray

        assert self._parts is not None
        if not ray.is_initialized():
            ray.init(**self.settings["init"])
        stop.take_over()  # from Ray, which takes SIGTERM for a crash of this process
        task = ray.remote(**self._request(ray.cluster_resources()))(run_here)
        state = Singleton.get_state()
        tasks = {
            task.remote(*self._parts, state, number, list(overrides)): (number, overrides)
            for number, overrides in enumerate(job_overrides, start=initial_job_idx)
        }
        returns: dict[int, JobReturn] = {}
        waiting, cancelled = list(tasks), False
        while waiting:
            ended, waiting = ray.wait(waiting, timeout=LOOK_S)
            for reference in ended:
                number, overrides = tasks[reference]
                returns[number] = returned(overrides, lambda reference=reference: ray.get(reference))
                self.tell(number, returns[number])
            if stop.requested() and not cancelled:
                cancelled = True
                for reference in waiting:
                    ray.cancel(reference)  # one that runs saves at its next step, as after a Ctrl-C
        return [returns[number] for number in sorted(returns)]

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
