"""Launchers for a Slurm cluster and, on one machine, its stand-in: jobs of submitit.

Hydra's own stop at the first job that did not come back, and leave the rest running with nobody to hear of them.
"""

import subprocess
import time
from collections.abc import Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf

from hydra_plugins.softvq_sweeper._jobs import LOOK_S, LostJob, Reporting, returned

try:
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
except ModuleNotFoundError:  # Hydra imports this module whatever is launched; without the extra, Slurm cannot be chosen
    BaseSubmititLauncher = Launcher

ASK_S = 5.0  # between two questions to Slurm's queue
GRACE_S = 10.0  # for the result of a job that has left the queue to be seen on a shared disk
# States in which a job may still bring a result.
UNDER_WAY = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "RESIZING", "STAGE_OUT", "SUSPENDED")
UNDER_WAY += ("REQUEUE_HOLD", "REQUEUE_FED", "SIGNALING", "STOPPED", "SPECIAL_EXIT")


class SubmititLauncher(Reporting, BaseSubmititLauncher):
    """Each cell a job of submitit on this machine, as many at a time as there are cores for: Slurm's stand-in."""

    _EXECUTOR = "local"

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from softvq import stop
        from softvq.config.launcher import jobs_at_a_time

        assert self.config is not None
        size = jobs_at_a_time(self.config.hydra.launcher)
        waiting = list(enumerate(job_overrides, start=initial_job_idx))
        running: dict[int, tuple[Any, Sequence[str]]] = {}
        returns: dict[int, JobReturn] = {}
        while waiting or running:
            if signum := stop.requested():
                returns |= {number: LostJob(overrides, stop.Stopped(signum)) for number, overrides in waiting}
                waiting = []
            while waiting and len(running) < size:
                number, overrides = waiting.pop(0)
                running[number] = (self._submit([overrides], number)[0], overrides)
            ended = [number for number, (job, _) in running.items() if job.done()]
            for number in ended:
                job, overrides = running.pop(number)
                returns[number] = returned(overrides, lambda job=job: job.results()[0])
                self.tell(number, returns[number])
            if not ended:
                time.sleep(LOOK_S)
        return [returns[number] for number in sorted(returns)]

    def _submit(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[Any]:
        import submitit

        from softvq import stop

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
        on_return, self.on_return = self.on_return, None  # which cannot be sent to a job
        try:
            with stop.kept_from_children():  # submitit's own processes would each print a traceback after a Ctrl-C
                return executor.map_array(self, *zip(*jobs, strict=True))
        finally:
            self.on_return = on_return


class SlurmLauncher(SubmititLauncher):
    """Each cell a job of a Slurm cluster, all in one array.

    A job is given up when it has left Slurm's queue without a result. The queue is asked, as submitit's own way needs
    Slurm's accounting, which not every cluster keeps.
    """

    _EXECUTOR = "slurm"

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from softvq import stop

        assert self.config is not None
        jobs, about = self._submit(job_overrides, initial_job_idx), self.config.hydra.sweep.dir
        waiting = {
            job.job_id: (number, job, overrides)
            for number, (job, overrides) in enumerate(zip(jobs, job_overrides, strict=True), start=initial_job_idx)
        }
        returns: dict[int, JobReturn] = {}
        gone: dict[str, float] = {}  # since when jobs have been missing from the queue
        asked = time.monotonic()
        while waiting:
            time.sleep(LOOK_S)
            now = time.monotonic()
            states: dict[str, str] | None = None
            if now - asked > ASK_S:
                states, asked = queue_states(waiting), now
            signum = stop.requested()
            left = f"Slurm goes on with {len(waiting)} of {len(jobs)} jobs in {about}, which scancel ends"
            for name, (number, job, overrides) in list(waiting.items()):
                # A job that is cancelled while it waits is forgotten by Slurm at once.
                state = None if states is None else states.get(name, "CANCELLED")
                if job.paths.result_pickle.exists():
                    returns[number] = returned(overrides, lambda job=job: job.results()[0])
                    if signum is None and (where := stopped_at(returns[number])) is not None:
                        message = f"Slurm job {name} ended as CANCELLED at {where}; see {job.paths.stderr}"
                        returns[number] = LostJob(overrides, RuntimeError(message))
                elif signum is not None:
                    returns[number] = LostJob(overrides, stop.Stopped(signum, left))
                elif state is not None and state not in UNDER_WAY:
                    if now - gone.setdefault(name, now) > GRACE_S:
                        message = f"Slurm job {name} ended as {state}; see {job.paths.stderr}"
                        returns[number] = LostJob(overrides, RuntimeError(message))
                elif state is not None:
                    gone.pop(name, None)
                if number in returns:
                    del waiting[name]
                    self.tell(number, returns[number])
        return [returns[number] for number in sorted(returns)]


def stopped_at(answer: JobReturn) -> str | None:
    """Where the cells of a job stopped that Slurm told to stop, as by `scancel`; None if it was not."""
    outcomes = answer.return_value if answer.status == JobStatus.COMPLETED else None
    stopped = [outcome.message for outcome in outcomes or () if outcome.status == "stopped"]
    return "; ".join(stopped) if stopped else None


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
