"""`make bench`: every measurement in one run, as JSON files and one table of ratios beside their targets.

A missed target does not fail the run: it measures. `--quick` shows in a minute or two whether all of it works.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contenders import write_images
from table import plain_table, rows
from turns import (
    HERE,
    Turn,
    contenders,
    machine,
    ratios,
    single_thread,
    spread,
    step_ratio,
    step_times,
    take_turns,
    write_results,
)
from watch import OUT

from softvq.machine import cores

TRAIN = HERE.parent / "train.py"
IMPORTS = "import os, torch, lightning; os._exit(0)"  # as FirstStep ends: without Python's tidying up


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    repeats: int
    our_turn_s: float  # holds a checkpoint, as each of the first minutes' five seconds do
    turn_s: float
    images: int
    kmeans_starts: int
    classifier_steps: int
    sweep_repeats: int
    sweep_steps: int
    parallel_runs: tuple[int, ...]


FULL = Sizes(
    repeats=5,
    our_turn_s=5.0,
    turn_s=2.0,
    images=50_000,
    kmeans_starts=100,
    classifier_steps=500,
    sweep_repeats=5,
    sweep_steps=2000,
    parallel_runs=(1, 2, 4),
)
QUICK = Sizes(
    repeats=2,
    our_turn_s=0.3,
    turn_s=0.3,
    images=2_000,
    kmeans_starts=10,
    classifier_steps=100,
    sweep_repeats=1,
    sweep_steps=50,
    parallel_runs=(1, 2),
)


def step(sizes: Sizes, folder: Path) -> dict[str, Any]:
    """Our training step beside the bound, a usual Lightning project and pythae's trainer."""
    results: dict[str, Any] = {}
    for network in ("mlp", "conv"):
        data = folder / network
        write_images(data, network, sizes.images)
        names = ["ours", "bound", "usual"]
        if network == "mlp" and find_spec("pythae"):
            names.append("pythae")
        seconds = {name: sizes.our_turn_s if name == "ours" else sizes.turn_s for name in names}
        turns: dict[str, list[Turn]] = {name: [] for name in names}
        for repeat in range(sizes.repeats):
            # New processes each time: where the system happens to lay their memory moves their speed by some percent.
            order = names[:: -1 if repeat % 2 else 1]
            with contenders({name: (name, network, str(data)) for name in order}) as running:
                for name, taken in take_turns(running, 1, seconds).items():
                    turns[name] += taken
        results[network] = {
            "times": {name: step_times(turns[name]) for name in names},
            "ours_over": {name: step_ratio(turns["ours"], turns[name]) for name in names[1:]},
        }
    return results


def start(sizes: Sizes, folder: Path) -> dict[str, Any]:
    """Seconds from the command to the first training step, beside those of importing torch and Lightning."""
    data = folder / "mlp"
    commands = {
        "imports": [sys.executable, "-c", IMPORTS],
        "first step": [
            *cell_command(data, folder / "start"),
            "trainer.threads=1",
            "trainer.accelerator=cpu",
            "resume=never",
            "+trainer.callbacks.watch._target_=first_step.FirstStep",
        ],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in commands}
    for repeat in range(sizes.repeats + 1):
        for name in list(commands)[:: 1 if repeat % 2 else -1]:
            wall, cpu = timed(commands[name], single_thread())
            if repeat:  # the first one reads files into memory and prepares the data
                seconds[name].append(wall)
                cpu_seconds[name].append(cpu)
    return {
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "cpu_seconds": {name: spread(values) for name, values in cpu_seconds.items()},
        "ours_over": {
            "imports": {
                "wall": spread(ratios(seconds["first step"], seconds["imports"])),
                "cpu": spread(ratios(cpu_seconds["first step"], cpu_seconds["imports"])),
            }
        },
    }


def probe(sizes: Sizes, folder: Path) -> dict[str, Any]:
    """K-means and the classifier beside plain scikit-learn and a plain loop."""
    import probes

    return probes.measure(sizes.repeats, sizes.kmeans_starts, sizes.classifier_steps)


def sweep(sizes: Sizes, folder: Path) -> dict[str, Any]:
    """Eight cells under `local_joblib`: the processor's seconds of the cells over cores times the clock's."""
    data = folder / "sweep-data"
    write_images(data, "mlp", 10_000, test_count=2000)
    cells = ("bottleneck=identity,vae,vq,soft_vq", "seed=0,1")
    runs = []
    for repeat in range(sizes.sweep_repeats):
        logs, watched = folder / f"sweep-{repeat}", folder / f"watched-{repeat}"
        watched.mkdir()
        command = [
            *cell_command(data, logs),
            *cells,
            "probes=fast",
            f"trainer.max_steps={sizes.sweep_steps}",
            "hydra/launcher=local_joblib",
            "+hydra.callbacks.watch._target_=watch.JobSeconds",
            "-m",
        ]
        wall, cpu = timed(command, {OUT: str(watched)})
        found = [json.loads(file.read_text()) for file in watched.glob("*.json")]
        first, last = min(cell["started"] for cell in found), max(cell["ended"] for cell in found)
        runs.append(
            {
                "wall_s": wall,
                "cpu_s": cpu,
                "cells": len(found),
                "processes": len({cell["process"] for cell in found}),
                "cells_cpu_s": sum(cell["cpu_s"] for cell in found),
                "first_to_last_cell_s": last - first,
            }
        )
    busy = [run["cells_cpu_s"] / cores() for run in runs]
    return {
        "runs": runs,
        "cells": runs[0]["cells"],
        "processes": runs[0]["processes"],
        "efficiency": spread(ratios(busy, [run["wall_s"] for run in runs])),
        "efficiency_once_started": spread(ratios(busy, [run["first_to_last_cell_s"] for run in runs])),
        "start_and_end_s": spread([run["wall_s"] - run["first_to_last_cell_s"] for run in runs]),
    }


def memory(sizes: Sizes, folder: Path) -> dict[str, Any]:
    """Memory of runs at the same time on the same data: the images', which they share, and all of it."""
    data = folder / "mlp"
    results = []
    for count in sizes.parallel_runs:
        with contenders({str(n): ("ours", "mlp", str(data)) for n in range(count)}) as running:
            for contender in running.values():
                contender.begin(2 * sizes.turn_s)
            for contender in running.values():
                contender.end()
            shares = [proportional_mb(contender.process.pid, data / "prepared") for contender in running.values()]
        results.append(
            {"runs": count, "data_mb": sum(share[0] for share in shares), "all_mb": sum(share[1] for share in shares)}
        )
    return {
        "images_mb": sum(file.stat().st_size for file in (data / "prepared").rglob("train_images.npy")) / 2**20,
        "parallel": results,
        "data_ratio": results[-1]["data_mb"] / results[0]["data_mb"] if results[0]["data_mb"] else None,
    }


def proportional_mb(process: int, files: Path) -> tuple[float, float]:
    """Memory of a process, of mapped files below a folder and of all, each page shared out among who maps it.

    Linux tells; elsewhere both are 0.
    """
    mapped = total = 0
    inside = False
    smaps = Path(f"/proc/{process}/smaps")
    for line in smaps.read_text().splitlines() if smaps.exists() else []:
        if line.startswith("Pss:"):
            size = int(line.split()[1])
            mapped, total = mapped + size * inside, total + size
        elif "-" in line.split(maxsplit=1)[0]:  # a mapping begins: ADDRESS-ADDRESS ... PATH
            inside = str(files) in line
    return mapped / 1024, total / 1024


def cell_command(data: Path, logs: Path) -> list[str]:
    """`python train.py` on the MLP's images, with its run folders below `logs`."""
    return [
        sys.executable,
        str(TRAIN),
        "data=arrays",
        "network=mlp",
        f"data.dir={data}",
        f"data.root={data}",
        f"hydra.run.dir={logs}",
        f"hydra.sweep.dir={logs}",
    ]


def timed(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds of a command by the clock, and of the processor for it and its children.

    Raises:
        RuntimeError: if it fails, with the end of what it printed.
    """
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    before, started = os.times(), time.perf_counter()
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True
    )
    seconds, after = time.perf_counter() - started, os.times()
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(ended.stdout + ended.stderr)[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, cpu


PARTS: dict[str, Callable[[Sizes, Path], dict[str, Any]]] = {
    "step": step,
    "start": start,
    "probes": probe,
    "sweep": sweep,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes; their results go to a folder of their own")
    parser.add_argument("--only", default=",".join(PARTS), help="parts to measure: %(default)s")
    parser.add_argument("--out", type=Path, help="folder of the JSON files; default: benchmarks/results")
    args = parser.parse_args()
    sizes = QUICK if args.quick else FULL
    out = args.out or HERE / ("results-quick" if args.quick else "results")
    chosen = args.only.split(",")
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"--only has no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if not find_spec("pythae"):
        print("pythae is not installed and is left out; pip install 'softvq[bench]' brings it")
    with tempfile.TemporaryDirectory(prefix="softvq-bench-") as scratch:
        folder = Path(scratch)
        write_images(folder / "mlp", "mlp", sizes.images)
        for name in chosen:
            started = time.perf_counter()
            described = machine()
            print(f"{name} ...", end=" ", flush=True)
            write_results(name, {"machine": described, **PARTS[name](sizes, folder)}, out)
            print(f"{time.perf_counter() - started:.0f} s", flush=True)
    print("\n" + plain_table(rows(out)))


if __name__ == "__main__":
    main()
