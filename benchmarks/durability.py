"""What it costs that nothing is lost: `python benchmarks/durability.py`, figures of docs/reliability.md.

A checkpoint of soft VQ on MNIST is written with and without syncs, in turns; the checksum of as many bytes as MNIST has
is taken; and a run of 20,000 steps on digits tells its memory.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch

from softvq.config.compose import compose
from softvq.run.build import build_model, build_optimizer
from softvq.training.checkpoint import Generations

MNIST = 60_000 * 28 * 28  # bytes of its training images
SECONDS = 1.0  # between two looks at a run's memory


def checkpoints(folder: Path, repeats: int) -> None:
    """Seconds of writing a checkpoint, and how many times those without syncs they are."""
    config = compose("train", ["data=mnist", "bottleneck=soft_vq"])
    model = build_model(config, (28, 28, 1), pixel_variance=0.1)
    optimizer = build_optimizer(config)(model.parameters())
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    content = {"state_dict": model.state_dict(), "optimizer_states": [optimizer.state_dict()]}
    files = Generations(folder / "last.ckpt")
    synced, plain = [], []
    for _ in range(repeats):
        synced.append(_seconds(files, content))
        with patch("os.fsync"):
            plain.append(_seconds(files, content))
    times = median(a / b for a, b in zip(synced, plain, strict=True))
    size = files.last.stat().st_size / 1e6
    print(
        f"checkpoint of {size:.0f} MB, synced: {median(synced):.2f} s, {times:.1f} times without (medians of {repeats})"
    )


def _seconds(files: Generations, content: dict[str, object]) -> float:
    started = time.perf_counter()
    files.write(content)
    return time.perf_counter() - started


def checksum() -> None:
    """Seconds of the checksum that a process takes of images when it first uses them."""
    images = os.urandom(MNIST)
    started = time.perf_counter()
    hashlib.sha256(images)
    print(f"SHA-256 of {MNIST / 1e6:.0f} MB of images: {time.perf_counter() - started:.2f} s")


def memory(folder: Path, steps: int) -> None:
    """A run's memory a tenth of its steps in, nine tenths in, and at its most."""
    choices = ["data=digits", "bottleneck=identity", f"trainer.max_steps={steps}", "probes=fast", "trainer.threads=1"]
    command = [sys.executable, "-m", "softvq", "train", *choices, f"hydra.run.dir={folder / 'run'}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen: list[tuple[int, float]] = []
    while process.poll() is None:
        seen.append((_step(folder / "run" / "metrics.csv"), _resident(process.pid)))
        time.sleep(SECONDS)
    if process.returncode:
        raise SystemExit(process.returncode)
    early, late = (next(found for found in seen if found[0] >= part * steps) for part in (0.1, 0.9))
    most = max(resident for _, resident in seen)
    print(f"memory at step {early[0]}: {early[1]:.0f} MB; at {late[0]}: {late[1]:.0f} MB; at most {most:.0f} MB")


def _step(curve: Path) -> int:
    """The last step of a training curve; 0 while there is none."""
    last = curve.read_text().splitlines()[-1] if curve.exists() else ""
    return int(last.partition(",")[0]) if last[:1].isdigit() else 0


def _resident(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has just ended
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(found[0]) / 1e3 if found else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=".") as folder:  # on the disk that is asked about
        checkpoints(Path(folder), args.repeats)
        checksum()
        memory(Path(folder), args.steps)


if __name__ == "__main__":
    main()
