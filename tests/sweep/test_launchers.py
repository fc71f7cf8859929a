"""The same sweep on every launcher: the same numbers, also when a machine is lost on the way."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from sweeps import PATIENCE_S, ROOT, cells, finished, results, running, starts, sweep, wait_for

from softvq.config import launcher
from softvq.config.launcher import jobs_at_a_time, threads_of_job
from softvq.machine import cores

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)

GRID = ("bottleneck=identity,vq", "seed=0,1")
JOBLIB = {"_target_": "hydra_plugins.softvq_sweeper.local.JoblibLauncher"}
RAY = {"_target_": "hydra_plugins.softvq_sweeper.ray_cluster.RayLauncher"}
SLURM = {"_target_": "hydra_plugins.softvq_sweeper.slurm.SlurmLauncher"}


def slurm_missing() -> str:
    if os.geteuid() != 0:
        return "a Slurm of one's own needs root"
    missing = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if not shutil.which(name)]
    return f"not installed: {', '.join(missing)} (Debian: slurm-wlm, munge)" if missing else ""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands find a cluster of this machine."""
    if reason := slurm_missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # munged runs as a user of its own
    script = str(ROOT / "tests" / "sweep" / "slurm" / "start.sh")
    subprocess.run([script, str(folder)], check=True, timeout=120)
    yield {"SLURM_CONF": str(folder / "slurm.conf")}
    subprocess.run([script, "--stop", str(folder)], check=True, timeout=60)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the sweep gives in one process, without any launcher's doing."""
    folder = tmp_path_factory.mktemp("basic") / "logs"
    ended = sweep(folder, *GRID, "hydra/launcher=basic")
    assert ended.returncode == 0, ended.stderr
    return results(folder)


class RayCluster:
    """Two nodes on one machine, without `ray start`'s leftovers."""

    def __init__(self, **node: Any) -> None:
        from ray.cluster_utils import Cluster

        self.node = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False, **node}
        self.cluster = Cluster(initialize_head=True, head_node_args=self.node)
        self.second = self.cluster.add_node(**self.node)
        self.environment = {"RAY_ADDRESS": self.cluster.address}


@pytest.fixture
def ray_cluster() -> Iterator[Callable[..., RayCluster]]:
    pytest.importorskip("ray", reason="ray is not installed (pip install 'softvq[ray]')")
    made = []

    def make(**node: Any) -> RayCluster:
        made.append(RayCluster(**node))
        return made[-1]

    yield make
    for cluster in made:
        cluster.cluster.shutdown()


def test_threads_share_the_cores_out() -> None:
    assert threads_of_job(None) == cores()
    for settings, threads in (
        ({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, cores()),
        ({**JOBLIB, "n_jobs": -1}, 1),
        ({**JOBLIB, "n_jobs": 1}, cores()),
        ({**JOBLIB, "n_jobs": 10 * cores()}, 1),
        ({**RAY, "ray": {"remote": {"num_cpus": 3}}}, 3),
        ({**SLURM, "cpus_per_task": 4}, 4),
    ):
        assert threads_of_job(OmegaConf.create(settings)) == threads, settings


@pytest.mark.parametrize(("n_jobs", "jobs", "threads"), [(1, 1, 7), (2, 2, 3), (3, 3, 2), (-1, 7, 1), (-2, 6, 1)])
def test_jobs_times_threads_fill_the_machine(
    n_jobs: int, jobs: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "cores", lambda: 7)
    settings: DictConfig = OmegaConf.create({**JOBLIB, "n_jobs": n_jobs})
    assert (jobs_at_a_time(settings), threads_of_job(settings)) == (jobs, threads)


@pytest.mark.slow
@pytest.mark.process
def test_submitit_on_one_machine_gives_the_same_numbers(tmp_path: Path, expected: dict[str, str]) -> None:
    ended = sweep(tmp_path, *GRID, "hydra/launcher=local_submitit")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert results(tmp_path) == expected


@pytest.mark.slow
@pytest.mark.process
def test_joblib_gives_the_same_numbers(tmp_path: Path, expected: dict[str, str]) -> None:
    ended = sweep(tmp_path, *GRID, "hydra/launcher=local_joblib")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert results(tmp_path) == expected


@pytest.mark.slow
@pytest.mark.process
def test_slurm_gives_the_same_numbers(tmp_path: Path, slurm: dict[str, str], expected: dict[str, str]) -> None:
    ended = sweep(tmp_path, *GRID, "hydra/launcher=slurm", **slurm)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert results(tmp_path) == expected


@pytest.mark.slow
@pytest.mark.process
def test_cancelled_slurm_job_is_told_of_and_leaves_the_others_alone(
    tmp_path: Path, slurm: dict[str, str], expected: dict[str, str]
) -> None:
    folder = tmp_path / "logs"
    grid = (*GRID, "hydra/launcher=slurm", "trainer.max_steps=60")
    with running(folder, *grid, **slurm) as process:
        wait_for(lambda: "_0" in queue(slurm), process)
        job = next(line for line in queue(slurm).split() if line.endswith("_0"))
        subprocess.run(["scancel", job], check=True, env={**os.environ, **slurm})
        assert process.wait() == 1
    told = (tmp_path / "logs.out").read_text()
    assert "3 finished, 0 skipped, 1 failed" in told
    assert f"Slurm job {job} ended as CANCELLED" in told
    ended = sweep(folder, *grid, **slurm)
    assert "1 finished, 3 skipped, 0 failed" in ended.stdout
    assert list(results(folder).values()) == list(expected.values())


@pytest.mark.slow
@pytest.mark.process
def test_slurm_goes_on_without_the_command_and_scancel_saves_at_the_next_step(
    tmp_path: Path, slurm: dict[str, str]
) -> None:
    folder = tmp_path / "logs"
    endless = ("trainer.max_steps=1000000", "trainer.checkpoint_after_s=10000", "hydra/launcher=slurm", "seed=0,1")
    with running(folder, *endless, **slurm) as process:
        assert wait_for(lambda: list(folder.rglob("metrics.csv")), process)
        process.terminate()
        assert process.wait() == 143
    *_, line = (tmp_path / "logs.out").read_text().splitlines()
    assert line.startswith("stopped by SIGTERM: Slurm goes on with 2 of 2 jobs in ")
    assert "_0" in queue(slurm)
    assert not list(folder.rglob("last.ckpt"))
    subprocess.run(["scancel", queue(slurm).split()[0].split("_")[0]], check=True, env={**os.environ, **slurm})
    wait_for(lambda: not queue(slurm).strip())
    assert list(folder.rglob("last.ckpt"))
    assert not list(folder.rglob("failure.json"))


def queue(environment: dict[str, str]) -> str:
    return subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%i"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.slow
@pytest.mark.process
def test_ray_gives_the_same_numbers_though_a_node_is_lost(
    tmp_path: Path, ray_cluster: Callable[..., RayCluster], expected: dict[str, str]
) -> None:
    cluster = ray_cluster()
    folder = tmp_path / "logs"
    often = ("trainer.checkpoint_after_s=0.1", "trainer.checkpoint_every_s=0.1")
    with running(folder, *GRID, *often, "hydra/launcher=local_ray", **cluster.environment) as process:
        assert wait_for(lambda: len(cells(folder)) >= 2, process)  # a cell on each node
        cluster.cluster.remove_node(cluster.second, allow_graceful=False)
        assert process.wait() == 0, (tmp_path / "logs.out").read_text()
    assert "4 finished, 0 skipped, 0 failed" in (tmp_path / "logs.out").read_text()
    assert sum(starts(cell) for cell in cells(folder)) >= len(cells(folder)) + 1  # a cell was begun anew
    assert results(folder) == expected


@pytest.mark.slow
@pytest.mark.process
def test_ray_shares_a_card_and_shows_a_job_no_other(tmp_path: Path, ray_cluster: Callable[..., RayCluster]) -> None:
    import ray

    cluster = ray_cluster(num_gpus=1, num_cpus=2)  # cards that are not there can be counted all the same
    ray.init(address=cluster.cluster.address)
    try:
        from hydra_plugins.softvq_sweeper.ray_cluster import RayLauncher

        launcher = RayLauncher(OmegaConf.create({"init": {}, "remote": {"num_cpus": 1, "num_gpus": None}}))
        request = launcher._request(ray.cluster_resources())
        assert request["num_gpus"] == 0.25

        def cards_seen() -> str:  # the nodes do not know this file
            time.sleep(1)
            return os.environ["CUDA_VISIBLE_DEVICES"]

        seen = ray.get([ray.remote(**request)(cards_seen).remote() for _ in range(4)])
        assert {len(cards.split(",")) for cards in seen} == {1}
        greedy = RayLauncher(OmegaConf.create({"init": {}, "remote": {"num_cpus": 1, "num_gpus": 3}}))
        with pytest.raises(ValueError, match=r"num_gpus is 3 and the Ray cluster has 2"):
            greedy._request(ray.cluster_resources())
    finally:
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.process
def test_killed_ray_sweep_takes_its_workers_with_it(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed (pip install 'softvq[ray]')")
    folder = tmp_path / "logs"
    with running(folder, *GRID, "hydra/launcher=local_ray", "trainer.max_steps=100000") as process:
        assert wait_for(lambda: list(folder.rglob("last.ckpt")), process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        logs = [cell / "run.log" for cell in cells(folder)]
        wait_for(lambda: not any(time.time() - log.stat().st_mtime < 5 for log in [*logs, *folder.rglob("last.ckpt")]))
    assert not finished(folder)
