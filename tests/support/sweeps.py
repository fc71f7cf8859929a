"""Small sweeps in processes of their own, and what they leave behind, for the tests of sweeps and launchers."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import lightning as L
from cells import without_figures

from softvq import stop

ROOT = Path(__file__).parents[2]
PATIENCE_S = 400  # for what takes seconds on a machine with nothing else to do

# A cell of digits that takes a second.
SMALL = (
    "data=digits",
    "probes=fast",
    "probes.tsne_points=40",
    "trainer.threads=1",
    "trainer.max_steps=60",
    "trainer.accelerator=cpu",
    "network.encoder.hidden=[32]",
    "network.decoder.hidden=[32]",
)


def command(folder: Path, *overrides: str) -> list[str]:
    """`python train.py -m` for a sweep below `folder`."""
    return [sys.executable, str(ROOT / "train.py"), "-m", *SMALL, *overrides, f"hydra.sweep.dir={folder}"]


def sweep(folder: Path, *overrides: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a sweep to its end."""
    return subprocess.run(
        command(folder, *overrides),
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def sweep_here(folder: Path, *overrides: str) -> int:
    """The same without figures in this process, which has loaded all that a sweep loads; the exit code."""
    argv, handlers = sys.argv, {signum: signal.getsignal(signum) for signum in stop.SIGNALS}
    sys.argv = command(folder, *overrides, "hydra/launcher=basic")[1:]
    stop.forget()  # another test of this process may have been stopped
    try:
        with warnings.catch_warnings(), without_figures():
            warnings.simplefilter("ignore")
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = argv
        stop.forget()
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
    return 0


@contextmanager
def running(folder: Path, *overrides: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A sweep that is under way, in a process group of its own; nothing of it is left afterwards."""
    with (
        (folder.parent / f"{folder.name}.out").open("ab") as output,
        subprocess.Popen(
            command(folder, *overrides),
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a sweep and its workers."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(what: Callable[[], Any], process: subprocess.Popen[bytes] | None = None) -> Any:
    """Waits until something holds, or a process has ended; the last value of `what`."""
    end = time.monotonic() + PATIENCE_S
    while not (value := what()) and (process is None or process.poll() is None):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


def alive(group: int) -> list[int]:
    """Processes of a group that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # gone meanwhile
        if int(pgrp) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def results(folder: Path) -> dict[str, str]:
    """The results of every finished cell, less what two runs of it differ in; also its curve."""
    found = {}
    for file in sorted(folder.rglob("metrics.json")):
        metrics = json.loads(file.read_text())
        for key in ("time", "provenance"):
            del metrics[key]
        name = str(file.parent.relative_to(folder))
        found[name] = json.dumps(metrics, indent=2)
        found[f"{name}/metrics.csv"] = (file.parent / "metrics.csv").read_text()
    return found


def finished(folder: Path) -> dict[str, tuple[int, int]]:
    """When the results of each finished cell were written, and when its log was last."""
    return {
        str(file.parent): (file.stat().st_mtime_ns, (file.parent / "run.log").stat().st_mtime_ns)
        for file in folder.rglob("metrics.json")
    }


def starts(cell: Path) -> int:
    """How often a cell was started: each start begins with a line of its date and command."""
    return len(re.findall(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", (cell / "run.log").read_text(), re.MULTILINE))


def cells(folder: Path) -> Sequence[Path]:
    """The folders of all cells that were begun."""
    return sorted(file.parent for file in folder.rglob("config.yaml"))


class Harmless(L.Callback):
    """A callback that does nothing, beside those that break a cell off after five steps."""


class Exits(L.Callback):
    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step >= 5:
            sys.exit(3)


class Interrupts(L.Callback):
    """As when somebody presses Ctrl-C."""

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step >= 5:
            os.kill(os.getpid(), signal.SIGINT)


class Waits(L.Callback):
    """For a file that the environment names."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        wait_for(Path(os.environ["GO"]).exists)


class Dies(L.Callback):
    """As when the system kills a process that takes too much memory."""

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step >= 5:
            os.kill(os.getpid(), signal.SIGKILL)
