"""A run's numbers beside the paper's, as a table."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from softvq.console import counted, duration
from softvq.published import IN_WORDS, PROBE_METRICS, published

# Numbers of the health panel beside the size that bounds them.
SIZES = {"active_units": "units", "perplexity": "K", "dead_codes": "K", "posterior_perplexity": "K"}
OF_MODELS = ("bottleneck", "network", "penalty_weight", "reconstruction", "optimizer")  # groups of settings
PAPER_PROTOCOL = ("paper", "z_e")  # name and tap


def chosen_words(fidelity: str, hyperparameters: Mapping[str, Any]) -> list[str]:
    """What was chosen of a model, for the titles of its lines and pictures.

    Args:
        fidelity: `paper`, which is not said, or `released`.
        hyperparameters: the settings that were given explicitly, by their keys.

    Example:
        >>> chosen_words("released", {"bottleneck.K": 8, "trainer.max_steps": 60, "network.encoder.hidden": [16]})
        ['fidelity=released', 'K=8']
    """
    words = [] if fidelity == "paper" else [f"fidelity={fidelity}"]
    for key, value in hyperparameters.items():
        if key.partition(".")[0] in OF_MODELS and isinstance(value, int | float | str):
            name = key.rpartition(".")[2]
            words.append(f"{name}={str(value).rpartition('.')[2] if name == '_target_' else value}")
    return words


def percent(value: float | None) -> str:
    """A fraction of 1 in percent, as in the paper's tables; a dash for none."""
    return "-" if value is None else f"{100 * value:.2f}"


def result_table(metrics: Mapping[str, Any]) -> Group:
    """The content of a `metrics.json`, or of an evaluation, beside the paper's numbers for the same cell."""
    paper = published(metrics["data"], metrics["bottleneck"])
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for column in ("this run", "paper", "difference") if paper else ("this run",):
        table.add_column(column, justify="right", no_wrap=True)
    for name in PROBE_METRICS:
        ours, theirs = metrics["probes"][name], paper.get(name)
        beside = [percent(theirs), "-" if theirs is None else f"{100 * (ours - theirs):+.2f}"] if paper else []
        table.add_row(f"{IN_WORDS[name]} (%)", percent(ours), *beside)
    table.add_section()
    for label, value in _without_published(metrics).items():
        table.add_row(label, value)
    chosen = chosen_words(metrics["fidelity"], metrics.get("hyperparameters") or {})
    title = ", ".join([f"{metrics['bottleneck']} on {metrics['data']}", *chosen, f"seed {metrics['seed']}"])
    return Group(Text(title, style="bold"), table, *map(Text, _remarks(metrics, bool(paper))))


def _without_published(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The numbers for which the paper has no counterpart."""
    mse = (metrics["reconstruction"] or {}).get("test_normalized_mse")
    rows = {} if mse is None else {"MSE / pixel variance": f"{mse:.4f}"}
    numbers = metrics["diagnostics"]
    for name, value in numbers.items():
        if name not in SIZES.values():
            few = f"{value:.1f}" if abs(value) >= 1 else f"{value:.3g}"
            of = f" of {numbers[SIZES[name]]}" if SIZES.get(name) in numbers else ""
            rows[name.replace("_", " ")] = (few if isinstance(value, float) else str(value)) + of
    return rows


def _remarks(metrics: Mapping[str, Any], compared: bool) -> list[str]:
    """The times of training and probing, and what to know before comparing with the paper."""
    protocol, took = metrics["protocol"], metrics.get("time") or {}
    steps = counted(metrics["steps"], "step")
    if metrics["steps"] and took.get("fit_s"):
        rate = f", {took['steps_per_s']:.0f} steps/s" if took.get("steps_per_s") else ""
        steps += f" in {duration(took['fit_s'])}{rate}"
    probes = f"probes={protocol['name']}" + (f", probes.tap={protocol['tap']}" if protocol["tap"] != "z_e" else "")
    probes += f" in {duration(took['probe_s'])}" if took.get("probe_s") else ""
    lines = [f"{steps}; {probes}"]
    for name, text in (metrics.get("collapsed") or {}).items():
        lines.append(f"COLLAPSED after {counted(metrics['steps'], 'step')}, {name.replace('_', ' ')}: {text}")
    if not compared:
        lines.append(f"the paper has no numbers for {metrics['bottleneck']} on {metrics['data']}")
    elif (protocol["name"], protocol["tap"]) != PAPER_PROTOCOL:
        lines.append("the paper's numbers are of another protocol: probes=paper")
    return lines
