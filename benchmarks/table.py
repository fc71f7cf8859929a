"""The ratios that `make bench` measured beside their targets, from its JSON files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADER = ("what", "ratio", "spread", "of CPU seconds", "target", "met")


@dataclass(frozen=True)
class Row:
    """One ratio: its median, its range, and what it ought to be."""

    what: str
    wall: dict[str, float]
    cpu: dict[str, float] | None
    target: float
    at_most: bool

    @property
    def met(self) -> bool:
        return self.wall["median"] <= self.target if self.at_most else self.wall["median"] >= self.target

    def cells(self) -> tuple[str, ...]:
        return (
            self.what,
            self._distinct(self.wall["median"]),
            f"{self.wall['min']:.2f} to {self.wall['max']:.2f}",
            f"{self.cpu['median']:.2f}" if self.cpu else "",
            f"at {'most' if self.at_most else 'least'} {self.target:g}",
            "yes" if self.met else "no",
        )

    def _distinct(self, ratio: float) -> str:
        """With as many digits as tell it from a target that it misses."""
        for digits in range(2, 6):
            told = f"{ratio:.{digits}f}"
            if self.met or float(told) != self.target:
                break
        return told


STEP_TARGETS = {"bound": 1.15, "usual": 0.4, "pythae": 0.65}
STEP_WORDS = {"bound": "the bare products and fused Adam", "usual": "a usual Lightning project", "pythae": "pythae"}
NETWORKS = {"mlp": "MLP", "conv": "conv net"}


def read(folder: Path, name: str) -> dict[str, Any] | None:
    """What a part measured; None where it was not measured."""
    file = folder / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def exactly(value: float) -> dict[str, float]:
    return {"median": value, "min": value, "max": value}


def rows(folder: Path) -> list[Row]:
    """Every ratio that has a target."""
    found = []
    if step := read(folder, "step"):
        for network, words in NETWORKS.items():
            for name, ratio in step[network]["ours_over"].items():
                what = f"training step, {words}: ours / {STEP_WORDS[name]}"
                found.append(Row(what, ratio["wall"], ratio["cpu"], STEP_TARGETS[name], at_most=True))
    if start := read(folder, "start"):
        ratio = start["ours_over"]["imports"]
        found.append(Row("first step / importing torch and lightning", ratio["wall"], ratio["cpu"], 1.3, at_most=True))
    if probes := read(folder, "probes"):
        found += probe_rows(probes)
    if sweep := read(folder, "sweep"):
        what = f"sweep of {sweep['cells']} cells: their CPU seconds / (cores x seconds)"
        found.append(Row(what, sweep["efficiency"], None, 0.9, at_most=False))
    if (memory := read(folder, "memory")) and memory["data_ratio"]:
        count = memory["parallel"][-1]["runs"]
        what = f"memory of the images: {count} parallel runs / one"
        found.append(Row(what, exactly(memory["data_ratio"]), None, 1.1, at_most=True))
    return found


def probe_rows(probes: dict[str, Any]) -> list[Row]:
    found = []
    for case in probes["kmeans"]:
        what = f"K-means, {case['starts']} starts, {case['codes']} x {case['d']}: scikit-learn's n_init / ours"
        cpu = cpu_speedup(case, case["best"])
        found.append(Row(what, case["speedup_over_n_init"], cpu, 0.9, at_most=False))
    for case in probes["classifier"]:
        size = f"{case['codes']} x {case['d']}, {case['steps']} batches"
        what = f"classifier, {size}: loop with autograd / ours"
        cpu = cpu_speedup(case, "autograd loop")
        found.append(Row(what, case["speedup_over_autograd_loop"], cpu, 1.0, at_most=False))
        accuracy = case["accuracy"]
        points = 100 * max(abs(accuracy["ours"] - value) for value in accuracy.values())
        found.append(Row(f"classifier, {size}: points of accuracy off", exactly(points), None, 0.1, at_most=True))
    return found


def cpu_speedup(case: dict[str, Any], other: str) -> dict[str, float]:
    """The same ratio of the processor's medians."""
    seconds = case["cpu_seconds"]
    return exactly(seconds[other]["median"] / seconds["ours"]["median"])


def plain_table(found: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [HEADER, *(row.cells() for row in found)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table for the documents."""
    ruler = ["---"] * len(header)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ruler, *lines])
