"""A run's numbers beside the paper's, as a table."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from softvq.published import PROBE_METRICS, published

LABELS = {
    "clustering_accuracy": "clustering accuracy",
    "clustering_nmi": "clustering NMI",
    "classification_accuracy": "classification accuracy",
}


def percent(value: float | None) -> str:
    """A fraction of 1 in percent, as in the paper's tables; a dash for none."""
    return "-" if value is None else f"{100 * value:.2f}"


def result_table(metrics: Mapping[str, Any]) -> Table:
    """One run beside the paper's numbers for the same cell."""
    paper = published(metrics["data"], metrics["bottleneck"])
    table = Table(
        title=f"{metrics['bottleneck']} on {metrics['data']}, seed {metrics['seed']}, {metrics['steps']} steps, "
        f"probes={metrics['protocol']['name']}"
    )
    for column in ("", "this run", "paper", "difference"):
        table.add_column(column, justify="left" if not column else "right")
    for name in PROBE_METRICS:
        ours, theirs = metrics["probes"][name], paper.get(name)
        table.add_row(
            f"{LABELS[name]} (%)",
            percent(ours),
            percent(theirs),
            "-" if theirs is None else f"{100 * (ours - theirs):+.2f}",
        )
    if metrics["reconstruction"]:
        table.add_row("normalized test MSE", f"{metrics['reconstruction']['test_normalized_mse']:.4f}", "-", "-")
    for name, value in metrics["diagnostics"].items():
        table.add_row(name.replace("_", " "), f"{value:.1f}" if isinstance(value, float) else str(value), "-", "-")
    return table
