"""`make bench-growth`: step time and memory against each size that a user may raise, with the exponent of the growth.

An exponent of 1 is growth in proportion; one well above it, a surprise. It is fitted to the upper half of the sizes,
where what does not grow (PyTorch itself, a step's fixed costs) weighs least.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from contenders import write_images
from run import proportional_mb
from turns import HERE, Contender, Turn, contenders, machine, step_times, take_turns, write_results

IMAGES = 50_000
SURPRISE = 1.25

# What is raised: the overrides that raise it, {} being the value, and its values.
OVERRIDES: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "batch size": (("data.batch_size={}",), (16, 32, 64, 128, 256, 512)),
    "K": (("bottleneck.K={}",), (32, 128, 512, 2048, 8192)),
    "d": (("network.d={}",), (16, 64, 256, 1024)),
}
IMAGE_COUNTS = (1_000, 10_000, 100_000, 400_000)
PARALLEL_RUNS = (1, 2, 3, 4)


def raised(name: str, values: Sequence[int], folder: Path, repeats: int, seconds: float) -> dict[str, Any]:
    """Step time and memory of the MLP with soft VQ for each value of a setting."""
    words, _ = OVERRIDES[name]
    return points(
        {value: ["ours", "mlp", str(folder), *(word.format(value) for word in words)] for value in values},
        repeats,
        seconds,
    )


def image_counts(counts: Sequence[int], folder: Path, repeats: int, seconds: float) -> dict[str, Any]:
    """The same for each number of training images."""
    for count in counts:
        write_images(folder / str(count), "mlp", count)
    return points({count: ["ours", "mlp", str(folder / str(count))] for count in counts}, repeats, seconds)


def points(arguments: Mapping[int, Sequence[str]], repeats: int, seconds: float) -> dict[str, Any]:
    """Contenders that differ in one size, in turns."""
    with contenders({str(value): words for value, words in arguments.items()}) as running:
        turns = take_turns(running, repeats, dict.fromkeys(running, seconds))
    return growth(list(arguments), [step_times(turns[str(value)]) for value in arguments])


def parallel_runs(counts: Sequence[int], folder: Path, repeats: int, seconds: float) -> dict[str, Any]:
    """The same for each number of runs at the same time; memory is that of all of them together."""
    times = []
    for count in counts:
        with contenders({str(n): ["ours", "mlp", str(folder)] for n in range(count)}) as running:
            turns = [turn for _ in range(repeats) for turn in at_once(list(running.values()), seconds)]
            memory = sum(proportional_mb(contender.process.pid, folder)[1] for contender in running.values())
        times.append({**step_times(turns), "peak_rss_mb": memory})
    return growth(list(counts), times)


def at_once(running: Sequence[Contender], seconds: float) -> list[Turn]:
    """A turn of all of them at the same time."""
    with ThreadPoolExecutor(len(running)) as pool:
        return list(pool.map(lambda contender: contender.turn(seconds), running))


def growth(values: Sequence[int], times: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The measured points, and the exponents of step time, CPU time and memory."""
    return {
        "values": list(values),
        "times": list(times),
        "exponents": {
            "step": exponent(values, [time["step_ms"]["median"] for time in times]),
            "cpu": exponent(values, [time["cpu_ms"]["median"] for time in times]),
            "memory": exponent(values, [time["peak_rss_mb"] for time in times]),
        },
    }


def exponent(values: Sequence[float], measured: Sequence[float]) -> float | None:
    """The p of measured ~ value^p, by least squares of the logarithms over the upper half of the values.

    None for a single value, or where nothing was measured.
    """
    upper = slice(min(len(values) // 2, max(len(values) - 3, 0)), None)  # three points at least, where there are
    if len(values) < 2 or min(measured) <= 0:
        return None
    return float(np.polyfit(np.log(values[upper]), np.log(measured[upper]), 1)[0])


def surprises(results: Mapping[str, Any]) -> list[str]:
    """A line for each exponent that is well above proportion."""
    return [
        f"{name}: {what} grows with exponent {value:.2f}"
        for name, result in results.items()
        for what, value in result["exponents"].items()
        if value is not None and value > SURPRISE
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two values of each; into a folder of its own")
    parser.add_argument("--out", type=Path, help="folder of growth.json; default: benchmarks/results")
    args = parser.parse_args()
    repeats, seconds, some = (2, 0.2, slice(1, 3)) if args.quick else (5, 0.5, slice(None))
    out = args.out or HERE / ("results-quick" if args.quick else "results")
    described = machine()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="softvq-bench-") as scratch:
        folder = Path(scratch)
        write_images(folder / "mlp", "mlp", IMAGES)
        for name, (_, values) in OVERRIDES.items():
            results[name] = raised(name, values[some], folder / "mlp", repeats, seconds)
            show(name, results[name])
        results["images"] = image_counts(IMAGE_COUNTS[: 2 if args.quick else None], folder, repeats, seconds)
        show("images", results["images"])
        results["parallel runs"] = parallel_runs(PARALLEL_RUNS[some], folder / "mlp", repeats, seconds)
        show("parallel runs", results["parallel runs"])
    write_results("growth", {"machine": described, "growth": results}, out)
    print("\n".join(surprises(results)) or "no exponent is above what is in proportion")


def show(name: str, result: Mapping[str, Any]) -> None:
    """One line for what was raised."""
    shown = {what: "-" if value is None else f"{value:.2f}" for what, value in result["exponents"].items()}
    slowest = result["times"][-1]["step_ms"]["median"]
    print(
        f"{name} up to {result['values'][-1]}: {slowest:.1f} ms a step; exponents: step {shown['step']}, "
        f"CPU {shown['cpu']}, memory {shown['memory']}",
        flush=True,
    )


if __name__ == "__main__":
    main()
