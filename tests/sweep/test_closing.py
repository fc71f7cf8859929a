"""The table that closes a sweep, as a terminal shows it."""

from io import StringIO
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from softvq.run.cell import Cell, Outcome
from softvq.run_folder import RunFolder
from softvq.sweep import closing
from softvq.sweep.plan import PlannedCell

PROBES = {"clustering_accuracy": 0.25, "clustering_nmi": 0.5, "classification_accuracy": 0.75}


def ended(K: int, d: int, seed: int, status: str) -> tuple[PlannedCell, Outcome]:
    overrides = [f"bottleneck.K={K}", f"network.d={d}", f"seed={seed}"]
    config = OmegaConf.create({"data": {"name": "digits"}, "seed": seed})
    cell = Cell(config, {"bottleneck": "soft_vq"}, RunFolder(Path(f"seed-{seed}")))
    return PlannedCell(overrides, cell), Outcome(status, f"seed-{seed}")


def shown(statuses: list[str], width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(closing, "probes_of", lambda *_: PROBES)
    grid = [(K, d, seed) for K in (8, 16) for d in (16, 32) for seed in (0, 1)]
    table = closing.closing_table([ended(*cell, status) for cell, status in zip(grid, statuses, strict=True)])
    console = Console(file=StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [100, 80, 60])
def test_a_narrow_terminal_cuts_no_word_off(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(["finished"] * 8, width, monkeypatch)
    assert "…" not in text
    assert width == 60 or text.count("75.00") == text.count("50.00") == 4


def test_how_the_cells_ended_is_a_column_only_where_they_ended_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    alike = shown(["finished"] * 8, 160, monkeypatch)
    assert "8 finished, 0 skipped, 0 failed" in alike
    assert "status" not in alike
    mixed = shown(["finished"] * 7 + ["failed"], 160, monkeypatch)
    assert "status" in mixed
    assert "1 finished, 1 failed" in mixed


def test_each_swept_protocol_has_a_best_row(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = {("fast", 8): 0.4, ("fast", 16): 0.5, ("paper", 8): 0.8, ("paper", 16): 0.7}
    rows = []
    for protocol, K in accuracies:
        planned, outcome = ended(K, 16, 0, "finished")
        planned.overrides[:] = [f"probes={protocol}", f"bottleneck.K={K}"]
        rows.append((planned, outcome))
    found = iter(accuracies.values())
    monkeypatch.setattr(closing, "probes_of", lambda *_: {"clustering_accuracy": next(found)})
    console = Console(file=StringIO(), width=160)
    console.print(closing.closing_table(rows))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert "50.00 *" in text
    assert "80.00 *" in text
    assert text.count("0 *") == 2
