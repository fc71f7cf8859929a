"""Runs what stands behind docs/results.md, entry by entry of evidence.yaml, and goes on where it was broken off.

`make evidence` calls it at low priority. Every sweep is the platform's own (`train.py -m`), so cells that are finished
are skipped and one that was broken off resumes; SIGINT and SIGTERM save it first. The report is written anew after each
entry. On a GPU several seeds of a model are trained at once. `python benchmarks/evidence.py --list` shows the entries.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from softvq.machine import cores

HERE = Path(__file__).parent
TRAIN, EVALUATE = HERE.parent / "train.py", HERE.parent / "evaluate.py"
NICE = 15
SEEDS_AT_ONCE = 5  # on a GPU
JOBS_ON_A_GPU = 4  # while one of them probes on the processor, the others train
GRACE_S = 60  # for a sweep to save what it is at
LOOKS_EVERY_S = 0.1  # whether a command has ended
INTERRUPTED = 130


class StoppedError(Exception):
    """Time is up, or somebody said so."""


class Command:
    """Runs one command after the other, none of them past the end of the time that there is.

    Args:
        seconds: from now on; None for no end.
    """

    def __init__(self, seconds: float | None) -> None:
        self.ends = None if seconds is None else time.monotonic() + seconds
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, _stop)

    def run(self, *command: str | Path) -> int:
        """Its exit status.

        Raises:
            StoppedError: once it has saved and ended.
        """
        return self.run_all([command], 1)

    def run_all(self, commands: Iterable[Sequence[str | Path]], at_once: int) -> int:
        """Runs so many of the commands at a time; 0, or the highest exit status.

        Raises:
            StoppedError: once those that ran have saved and ended.
        """
        waiting, running, worst = deque(commands), list[subprocess.Popen[bytes]](), 0
        try:
            while waiting or running:
                if self.ends is not None and time.monotonic() >= self.ends:
                    raise StoppedError
                while waiting and len(running) < at_once:
                    command = [sys.executable, *map(str, waiting.popleft())]
                    running.append(subprocess.Popen(command, start_new_session=True))
                ended = [process for process in running if process.poll() is not None]
                running = [process for process in running if process not in ended]
                worst = max([worst, *(abs(process.returncode) for process in ended)])  # below 0: ended by a signal
                time.sleep(0 if ended else LOOKS_EVERY_S)
        except StoppedError:
            _interrupt(running)
            raise
        return worst


def _interrupt(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Lets processes save what they are at; who takes too long is killed."""
    for process in processes:
        process.send_signal(signal.SIGINT)
    ends = time.monotonic() + GRACE_S
    for process in processes:
        try:
            process.wait(max(0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _stop(number: int, frame: object) -> None:
    raise StoppedError


def read_entries() -> list[dict[str, Any]]:
    """The entries of evidence.yaml, in order."""
    return yaml.safe_load((HERE / "evidence.yaml").read_text())


def missing(entry: dict[str, Any]) -> list[str]:
    """The variables of the environment that an entry waits for."""
    return [name for name in entry.get("needs", "").split() if not os.environ.get(name)]


def sweep_overrides(entry: dict[str, Any], further: Sequence[str]) -> list[str]:
    """The choices of an entry's sweep; of a key that is given again, the last."""
    merged: dict[str, str] = {}
    for override in [*os.path.expandvars(entry["sweep"]).split(), *further]:
        merged[override.split("=", 1)[0]] = override
    return list(merged.values())


def unprobed(entry: dict[str, Any], logs: Path) -> Iterator[Path]:
    """Finished runs that an entry's protocol has not probed yet."""
    protocol, tap = entry["evaluate"], entry.get("tap", "z_e")
    chosen = entry.get("bottlenecks", "*").split()
    for experiment in entry["of"].split():
        for bottleneck in chosen:
            for metrics in sorted((logs / experiment).glob(f"*/{bottleneck}/*/metrics.json")):
                trained = (metrics.parent / "checkpoints").is_dir()
                if trained and not list((metrics.parent / "evaluations").glob(f"{protocol}-{tap}-*.json")):
                    yield metrics.parent


def jobs_here() -> int:
    """How many cells or evaluations at once, unless somebody says so."""
    import torch

    return JOBS_ON_A_GPU if torch.cuda.is_available() else cores()


def where_to_run(jobs: int) -> list[str]:
    """How many cells at once, on how many threads, and on a GPU how many seeds of each at once."""
    import torch

    chosen = [f"hydra.launcher.n_jobs={jobs}", f"trainer.threads={max(1, cores() // jobs)}"]
    return [*chosen, f"trainer.seeds_per_process={SEEDS_AT_ONCE}"] if torch.cuda.is_available() else chosen


def complete(
    entry: dict[str, Any], command: Command, logs: Path, jobs: int, common: Sequence[str], further: Sequence[str]
) -> int:
    """Does what is missing of an entry; 0, or what its command ended with."""
    if "sweep" in entry:
        sweep = sweep_overrides(entry, [*common, *further])
        return command.run(TRAIN, "-m", *sweep, "hydra/launcher=local_joblib", f"hydra.sweep.dir={logs}")
    how = [f"probes={entry['evaluate']}", f"probes.tap={entry.get('tap', 'z_e')}"]
    how.append(f"trainer.threads={max(1, cores() // jobs)}")
    return command.run_all([[EVALUATE, f"run={run}", *how] for run in unprobed(entry, logs)], jobs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="show the entries and stop")
    parser.add_argument("--only", help="entries by name, separated by commas, in this order (default: all)")
    parser.add_argument("--jobs", type=int, help=f"cells at once (default: one a core; on a GPU {JOBS_ON_A_GPU})")
    parser.add_argument("--logs", type=Path, default=Path("logs"), help="folder of the runs (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="stop after so many; the same command goes on later")
    parser.add_argument("overrides", nargs="*", help="further settings of every sweep, as train.py takes them")
    args = parser.parse_intermixed_args()
    entries = {entry["name"]: entry for entry in read_entries()}
    names = args.only.split(",") if args.only else list(entries)
    if unknown := [name for name in names if name not in entries]:
        parser.error(f"--only has no entry {', '.join(unknown)}; there are {', '.join(entries)}")
    if args.list:
        for name in names:
            waits = f" (waits for {', '.join(missing(entries[name]))})" if missing(entries[name]) else ""
            print(f"{name}: {entries[name]['answers']}{waits}")
        return 0
    os.nice(NICE)
    jobs = args.jobs or jobs_here()
    common = [*where_to_run(jobs), "trainer.progress=false"]
    command = Command(args.seconds)
    failed = []
    try:
        for name in names:
            if waits := missing(entries[name]):
                print(f"{name} waits for {', '.join(waits)} in the environment", flush=True)
                continue
            print(f"{name}: {entries[name]['answers']}", flush=True)
            if complete(entries[name], command, args.logs, jobs, common, args.overrides):
                failed.append(name)
            command.run("-m", "softvq", "report", args.logs, "--out", args.logs / "report")
    except StoppedError:
        print("stopped; the same command goes on from here", flush=True)
        return INTERRUPTED
    if failed:
        print(f"with failures, which the same command tries again: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
