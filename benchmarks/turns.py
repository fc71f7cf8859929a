"""Contenders in processes of their own that take turns: a machine that slows down slows all of them."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from softvq.machine import cores
from softvq.run.provenance import commit

HERE = Path(__file__).parent
WARM_UP_STEPS = 30
START_S = 300


@dataclass(frozen=True)
class Turn:
    """What a contender did in one turn."""

    steps: int
    seconds: float
    cpu_seconds: float
    page_faults: int
    peak_rss_mb: float  # of the process so far


class Turns:
    """A contender's side: it calls `step` after each training step and is held there between its turns."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.warm_up = WARM_UP_STEPS
        self.seconds = 0.0

    def step(self, steps: int = 1) -> float:
        """Counts steps; at the end of the turn, reports it and waits for the next. Returns the seconds waited."""
        if self.warm_up > 0:
            self.warm_up -= steps
            if self.warm_up <= 0:
                return self._wait(None)
            return 0.0
        self.steps += steps
        seconds = time.perf_counter() - self.started
        if seconds >= self.seconds:
            cpu_seconds = time.process_time() - self.cpu_started
            turn = Turn(self.steps, seconds, cpu_seconds, page_faults() - self.faults, peak_rss_mb())
            return self._wait(asdict(turn))
        return 0.0

    def _wait(self, report: dict[str, Any] | None) -> float:
        held = time.perf_counter()
        self.connection.send(report)
        try:
            self.seconds = self.connection.recv()
        except EOFError:  # no more turns
            os._exit(0)
        self.steps, self.faults = 0, page_faults()
        self.started, self.cpu_started = time.perf_counter(), time.process_time()
        return self.started - held


class Contender:
    """The driver's side of a process that takes turns.

    Args:
        arguments: of `contenders.py`.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.name = " ".join(arguments)
        self.connection, theirs = Pipe()
        # A file, as a pipe that nobody reads fills up; __exit__ closes it.
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "contenders.py"), str(theirs.fileno()), *arguments],
            env={**os.environ, **single_thread()},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
        )
        theirs.close()

    def begin(self, seconds: float) -> None:
        """Lets it train for some seconds."""
        self.connection.send(seconds)

    def end(self) -> Any:
        """Waits until it has warmed up, or its turn is over, and returns its report.

        Raises:
            RuntimeError: if it failed, with the end of what it printed.
            TimeoutError: if it does not answer.
        """
        try:
            if self.connection.poll(START_S):
                return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.errors.seek(0)
            raise RuntimeError(f"{self.name} failed:\n{self.errors.read().decode()[-2000:]}") from None
        raise TimeoutError(f"{self.name} did not answer within {START_S} s")

    def turn(self, seconds: float) -> Turn:
        self.begin(seconds)
        return Turn(**self.end())

    def __enter__(self) -> "Contender":
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()
        self.errors.close()


@contextmanager
def contenders(arguments: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Contender]]:
    """Contenders that have warmed up, by name, one after the other."""
    with ExitStack() as stack:
        running = {}
        for name, words in arguments.items():
            running[name] = stack.enter_context(Contender(words))
            running[name].end()
        yield running


def take_turns(running: Mapping[str, Contender], repeats: int, seconds: Mapping[str, float]) -> dict[str, list[Turn]]:
    """Runs each contender for its seconds, `repeats` times in turn, back and forth."""
    turns: dict[str, list[Turn]] = {name: [] for name in running}
    for repeat in range(repeats):
        order = list(running) if repeat % 2 == 0 else list(running)[::-1]
        for name in order:
            turns[name].append(running[name].turn(seconds[name]))
    return turns


def step_times(turns: Sequence[Turn]) -> dict[str, Any]:
    """Milliseconds of a step by the clock and of the processor, page faults, and the process's peak memory."""
    return {
        "step_ms": spread([1000 * turn.seconds / turn.steps for turn in turns]),
        "cpu_ms": spread([1000 * turn.cpu_seconds / turn.steps for turn in turns]),
        "page_faults_per_step": statistics.median(turn.page_faults / turn.steps for turn in turns),
        "peak_rss_mb": turns[-1].peak_rss_mb,
    }


def step_ratio(ours: Sequence[Turn], theirs: Sequence[Turn]) -> dict[str, Any]:
    """Our step's time over theirs, repeat by repeat."""
    return {
        "wall": spread(ratios([t.seconds / t.steps for t in ours], [t.seconds / t.steps for t in theirs])),
        "cpu": spread(ratios([t.cpu_seconds / t.steps for t in ours], [t.cpu_seconds / t.steps for t in theirs])),
    }


def ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(values, base, strict=True)]


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def peak_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def single_thread() -> dict[str, str]:
    """The environment of a process that computes on one thread."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def machine() -> dict[str, Any]:
    """What the numbers were measured on, and of which commit; no name of the machine."""
    import platform
    from importlib.metadata import version

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return {
        "cpu": model,
        "cores": cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "lightning": version("lightning"),
        "commit": commit(),
        "load_before": os.getloadavg()[0],
    }


def write_results(name: str, content: Mapping[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
