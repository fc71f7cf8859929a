"""The page on concepts explains the numbers of the health panel, as the runs of every bottleneck have them."""

import csv

from cells import ROOT

SIZES = ("units", "K")  # stand beside the numbers that they bound


def test_every_number_of_the_health_panel_is_explained() -> None:
    text = (ROOT / "docs/concepts.md").read_text().lower()
    with (ROOT / "docs/results/runs.csv").open() as file:
        columns = next(csv.reader(file))
    numbers = [column.removeprefix("diagnostics.") for column in columns if column.startswith("diagnostics.")]
    assert {"perplexity", "active_units", "rate", *SIZES} <= set(numbers)
    unexplained = [name for name in numbers if name not in SIZES and f"**{name.replace('_', ' ')}" not in text]
    assert unexplained == []
