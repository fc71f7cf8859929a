"""Whatever lies around in the environment, a run is one run: it tells, it logs, and it leaves its results."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweeps import PATIENCE_S, ROOT, SMALL

pytestmark = [pytest.mark.slow, pytest.mark.process, pytest.mark.timeout(PATIENCE_S)]

LEFT_BY_LAUNCHERS = {
    **dict.fromkeys(("LOCAL_RANK", "RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID", "SLURM_LOCALID"), "1"),
    **dict.fromkeys(("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "PMI_RANK"), "1"),
    **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"), "2"),
    **dict.fromkeys(("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_LOCAL_RANK", "PALS_RANKID", "MV2_COMM_WORLD_RANK"), "1"),
    **{"JSM_NAMESPACE_SIZE": "2", "LSB_JOBID": "7", "LSB_DJOB_RANKFILE": "/nonexistent", "LSB_HOSTS": "a b"},
    **{"KUBERNETES_PORT": "tcp://10.0.0.1:443", "TPU_PROCESS_ADDRESSES": "a:1,b:1", "CLOUD_TPU_TASK_ID": "1"},
    **{"TORCHELASTIC_RUN_ID": "7", "SLURM_NODELIST": "a,b", "SLURM_CPUS_PER_TASK": "none"},
    **{"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train"},
}
ENVIRONMENTS = {
    "ranks that a cluster left": LEFT_BY_LAUNCHERS,
    "ascii": {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
    "nothing but ascii": {"PYTHONUTF8": "0", "LC_ALL": "C"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "nowhere to keep anything": {"TMPDIR": "/nonexistent", "HOME": "/nonexistent", "XDG_CACHE_HOME": "/proc/x"},
    "no terminal to speak of": {"COLUMNS": "1", "LINES": "0", "TERM": ""},
    "somebody's matplotlib": {"MPLBACKEND": "module://nowhere", "MPLCONFIGDIR": "/proc/x"},
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_run_ends_with_its_results(environment: str, tmp_path: Path) -> None:
    folder = tmp_path / "d\N{LATIN SMALL LETTER E WITH ACUTE}ja vu"
    done = run(folder, tmp_path, ENVIRONMENTS[environment])
    assert done.returncode == 0, done.stderr
    assert b"results: " in done.stdout
    assert b"Traceback" not in done.stdout + done.stderr
    assert (folder / "metrics.json").exists()
    assert list(folder.glob("tensorboard/**/events*"))


@pytest.mark.parametrize("closing", ["<&-", ">&-", ">/dev/full", "<&- >&- 2>&-"])
def test_streams_that_are_closed_or_full_cost_no_result(closing: str, tmp_path: Path) -> None:
    done = run(tmp_path / "run", tmp_path, {}, closing)
    assert done.returncode == 0
    assert (tmp_path / "run" / "metrics.json").exists()


def run(folder: Path, data: Path, environment: dict[str, str], streams: str = "") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(ROOT / "train.py"), *SMALL, "bottleneck=identity", "logger=tensorboard"]
    return subprocess.run(
        ["bash", "-c", f'"$@" {streams}', "run", *command, f"data.root={data}", f"hydra.run.dir='{folder}'"],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize("command", ["train data=digits hydra.run.dir=new", "evaluate run=run", "export run --out out"])
def test_too_little_memory_is_said_in_a_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text('{"config_hash": "0"}')
    limited = f'ulimit -v 1000000; exec "{sys.executable}" -m softvq {command}'
    done = subprocess.run(
        ["bash", "-c", limited], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: a library cannot be loaded (")
    assert "this process has too little memory (see `ulimit -v`)" in line
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
