"""Writes what the benchmarks measured into docs/performance.md, with plots beside it."""

import argparse
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from table import HEADER, NETWORKS, STEP_WORDS, markdown_table, read, rows
from turns import HERE

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
DOCS = HERE.parent / "docs"
GROWS = {"step": "step time", "cpu": "CPU time", "memory": "memory"}
CONTENDERS = {"ours": "ours", **STEP_WORDS}


def section(results: Path, docs: Path) -> str:
    """The generated part of the page; draws the plots that it shows."""
    parts = [ratios_part(results)]
    if step := read(results, "step"):
        step_plot(step, docs / "performance_step.png")
        parts += [step_part(step), "![Step times](performance_step.png)"]
    if sweep := read(results, "sweep"):
        parts.append(sweep_part(sweep))
    if memory := read(results, "memory"):
        parts.append(memory_part(memory))
    if growth := read(results, "growth"):
        growth_plot(growth["growth"], docs / "performance_growth.png")
        parts += [growth_part(growth), "![Step time and memory against size](performance_growth.png)"]
    parts += [seeds_part(seeds) for device in ("cpu", "gpu") if (seeds := read(results, f"seeds-{device}"))]
    if gpu_steps := read(results, "gpu_steps"):
        parts.append(gpu_steps_part(gpu_steps))
    parts.append(machines_part(results))
    return "\n\n".join(parts)


def ratios_part(results: Path) -> str:
    return "## Ratios and their targets\n\nMedians of the repeats, and their range.\n\n" + markdown_table(
        HEADER, [row.cells() for row in rows(results)]
    )


def machines_part(results: Path) -> str:
    """Which file was measured where."""
    measured: dict[str, list[str]] = {}
    for file in sorted(results.glob("*.json")):
        if content := read(results, file.stem):
            measured.setdefault(machine_words(content["machine"]), []).append(f"`{file.name}`")
    lines = [f"- {', '.join(names)}: {machine}" for machine, names in measured.items()]
    return "\n".join(["## On which machines\n", *lines])


def machine_words(machine: dict[str, Any]) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, "
        f"torch {machine['torch']}, lightning {machine['lightning']}"
        + (f", commit {machine['commit'][:12]}" if machine.get("commit") else "")
    )


def step_part(step: dict[str, Any]) -> str:
    lines = [
        (
            words,
            CONTENDERS[name],
            f"{times['step_ms']['median']:.2f}",
            f"{times['cpu_ms']['median']:.2f}",
            f"{times['page_faults_per_step']:.0f}",
            f"{times['peak_rss_mb']:.0f}",
        )
        for network, words in NETWORKS.items()
        for name, times in step[network]["times"].items()
    ]
    header = ("network", "what trains", "step (ms)", "CPU (ms)", "page faults a step", "peak memory (MB)")
    return "## One training step\n\nOf 32 images, on one thread:\n\n" + markdown_table(header, lines)


def sweep_part(sweep: dict[str, Any]) -> str:
    return (
        "## A sweep, and runs side by side\n\n"
        f"The sweep's {sweep['cells']} cells ran in {sweep['processes']} processes; "
        f"{sweep['start_and_end_s']['median']:.1f} s passed before the first cell and after the last. From the first "
        f"cell's start to the last one's end the cores were busy with cells for "
        f"{100 * sweep['efficiency_once_started']['median']:.0f} % of the time."
    )


def memory_part(memory: dict[str, Any]) -> str:
    lines = [(f"{run['runs']}", f"{run['data_mb']:.0f}", f"{run['all_mb']:.0f}") for run in memory["parallel"]]
    header = ("runs at the same time", "images in memory (MB)", "all memory (MB)")
    return f"Runs on the same {memory['images_mb']:.0f} MB of images:\n\n" + markdown_table(header, lines)


def growth_part(growth: dict[str, Any]) -> str:
    lines = [
        (
            name,
            f"{result['values'][0]} to {result['values'][-1]}",
            *("-" if result["exponents"][what] is None else f"{result['exponents'][what]:.2f}" for what in GROWS),
        )
        for name, result in growth["growth"].items()
    ]
    header = ("what is raised", "range", *(f"exponent of {words}" for words in GROWS.values()))
    return (
        "## Growth\n\n"
        "Of the MLP with soft VQ: measured ~ size^exponent over the upper half of the sizes, so that 1 is in "
        "proportion and 0 no growth.\n\n" + markdown_table(header, lines)
    )


def seeds_part(seeds: dict[str, Any]) -> str:
    alone, over = seeds["ms_per_step"]["alone"], seeds["runs_per_hour_over_one_after_the_other"]
    lines = [("one after the other", f"{alone['median']:.2f}", "1")] + [
        (
            f"{S} at once",
            f"{seeds['ms_per_step'][S]['median']:.2f}",
            f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})",
        )
        for S, ratio in over.items()
    ]
    where = f"{seeds['device']}, torch threads: {seeds['threads']}" if seeds["device"] == "cpu" else seeds["device"]
    header = ("seeds", "step of all of them (ms)", "runs an hour, over one after the other")
    return f"## Seeds in one process\n\nOf the MLP with {seeds['bottleneck']}, on {where}:\n\n" + markdown_table(
        header, lines
    )


def gpu_steps_part(measured: dict[str, Any]) -> str:
    times: dict[tuple[str, str], dict[int | str, float]] = {}
    for way in measured["ways"]:
        if "ms" in way:
            name = way["seeds"] if way["seeds"] > 1 or way["way"] == "captured" else way["way"]
            times.setdefault((way["network"], way["precision"]), {})[name] = way["ms"]
    lines = [
        (
            NETWORKS[network],
            precision,
            *(f"{of[way]:.2f}" for way in ("run by Python", 1, 4, 16)),
            f"{16 * of[1] / of[16]:.1f}",
        )
        for (network, precision), of in times.items()
    ]
    header = ("network", "precision", "run by Python", "captured", "4 seeds", "16 seeds", "runs an hour, 16 over 1")
    return (
        "## A step on a GPU\n\n"
        f"Of 32 images on one {measured['device']} ({measured['bottleneck']}, ms; of several seeds, "
        "that of all of them, captured; `python benchmarks/gpu_steps.py OUT.json`):\n\n" + markdown_table(header, lines)
    )


def step_plot(step: dict[str, Any], path: Path) -> None:
    """Bars of each contender's step time, with their range."""
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    for axis, (network, words) in zip(figure.subplots(1, len(NETWORKS)), NETWORKS.items(), strict=True):
        times = step[network]["times"]
        names = list(times)
        medians = [times[name]["step_ms"]["median"] for name in names]
        low = [m - times[name]["step_ms"]["min"] for m, name in zip(medians, names, strict=True)]
        high = [times[name]["step_ms"]["max"] - m for m, name in zip(medians, names, strict=True)]
        colours = ["tab:blue" if name == "ours" else "lightgray" for name in names]
        axis.barh([CONTENDERS[name] for name in names], medians, xerr=(low, high), color=colours)
        axis.invert_yaxis()
        axis.set(title=words, xlabel="ms a step")
    save(figure, path)


def growth_plot(growth: dict[str, Any], path: Path) -> None:
    """Step time above memory, on logarithmic axes, a column for each size."""
    figure = Figure(figsize=(2.6 * len(growth), 4.6), layout="constrained")
    axes = figure.subplots(2, len(growth), sharex="col")
    for (upper, lower), (name, result) in zip(axes.T, growth.items(), strict=True):
        upper.plot(result["values"], [time["step_ms"]["median"] for time in result["times"]], "o-")
        lower.plot(result["values"], [time["peak_rss_mb"] for time in result["times"]], "o-", color="tab:orange")
        upper.set(xscale="log", yscale="log", title=name)
        lower.set(xscale="log", yscale="log", xlabel=name)
        lower.xaxis.set_minor_locator(NullLocator())
        lower.set_xticks(result["values"], [f"{value:,}" for value in result["values"]], rotation=90)
        for axis in (upper.yaxis, lower.yaxis):
            axis.set_major_locator(MaxNLocator(4))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter("{x:,.0f}")
    axes[0, 0].set_ylabel("step (ms)")
    axes[1, 0].set_ylabel("memory (MB)")
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def between_markers(page: str, content: str) -> str:
    """The page with what is between its markers replaced.

    Raises:
        ValueError: if it does not have them, once each and in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}, once each and in this order")
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON files")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of performance.md and the plots")
    args = parser.parse_args()
    page = args.docs / "performance.md"
    page.write_text(between_markers(page.read_text(), section(args.results, args.docs)))


if __name__ == "__main__":
    main()
