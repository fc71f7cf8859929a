"""The table at the end of a run."""

from copy import deepcopy
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from softvq.console import duration
from softvq.run.summary import chosen_words, percent, result_table

METRICS: dict[str, Any] = {
    "bottleneck": "soft_vq",
    "data": "mnist",
    "seed": 3,
    "fidelity": "paper",
    "hyperparameters": {},
    "steps": 40000,
    "probes": {"clustering_accuracy": 0.78, "clustering_nmi": 0.7088, "classification_accuracy": 0.9354},
    "reconstruction": {"test_mse": 0.02, "test_normalized_mse": 0.21234},
    "diagnostics": {"active_units": 60, "perplexity": 101.26, "dead_codes": 2},
    "protocol": {"name": "paper", "tap": "z_e"},
    "time": {"fit_s": 160.2, "steps_per_s": 251.7, "probe_s": 65.0},
}


def shown(width: int = 100, **changes: Any) -> str:
    metrics = {**deepcopy(METRICS), **changes}
    console = Console(file=StringIO(), width=width)
    console.print(result_table(metrics))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def cells(text: str, label: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if label in line]
    return line.replace(label, "").split()


def test_a_run_stands_beside_the_papers_cell_in_percent() -> None:
    text = shown()
    assert cells(text, "clustering accuracy (%)") == ["78.00", "77.64", "+0.36"]  # Table 1
    assert cells(text, "clustering NMI (%)") == ["70.88", "71.88", "-1.00"]
    assert cells(text, "classification accuracy (%)") == ["93.54", "93.54", "+0.00"]


def test_it_says_what_ran_and_how_long() -> None:
    text = shown()
    assert "soft_vq on mnist, seed 3" in text
    assert "40,000 steps in 2:40, 252 steps/s; probes=paper in 1:05" in text
    assert cells(text, "MSE / pixel variance") == ["0.2123"]
    assert cells(text, "perplexity") == ["101.3"]


def test_a_number_of_the_code_stands_beside_its_size() -> None:
    text = shown(diagnostics={"units": 64, "active_units": 60, "code_scale": 0.0123, "K": 128, "dead_codes": 2})
    assert cells(text, "active units") == ["60", "of", "64"]
    assert cells(text, "dead codes") == ["2", "of", "128"]
    assert cells(text, "code scale") == ["0.0123"]


def test_a_collapsed_code_is_named_with_its_step() -> None:
    text = shown(collapsed={"active_units": "0 of 64 units vary; lower the KL's weight"})
    assert "COLLAPSED after 40,000 steps, active units: 0 of 64 units vary; lower the KL's weight" in text
    assert "COLLAPSED" not in shown(collapsed={})


def test_what_the_paper_does_not_report_is_a_dash() -> None:
    assert cells(shown(data="svhn"), "clustering NMI (%)") == ["70.88", "-", "-"]


def test_without_published_numbers_there_is_nothing_to_compare() -> None:
    text = shown(data="digits")
    assert "the paper has no numbers for soft_vq on digits" in text
    assert "difference" not in text


@pytest.mark.parametrize("protocol", [{"name": "fast", "tap": "z_e"}, {"name": "paper", "tap": "z_q"}])
def test_another_protocol_is_said_to_be_one(protocol: dict[str, str]) -> None:
    text = shown(protocol=protocol)
    assert "the paper's numbers are of another protocol" in text
    assert ("probes.tap=z_q" in text) == (protocol["tap"] == "z_q")


def test_a_row_without_training_has_no_reconstruction() -> None:
    text = shown(bottleneck="raw", steps=0, reconstruction=None, diagnostics={}, time={"fit_s": 0.0, "probe_s": 3.0})
    assert "MSE" not in text
    assert "0 steps; probes=paper in 0:03" in text
    assert cells(text, "classification accuracy (%)") == ["93.54", "92.44", "+1.10"]


def test_an_evaluation_has_no_times() -> None:
    assert "40,000 steps; probes=paper\n" in shown(time=None)


def test_the_table_fits_a_narrow_terminal() -> None:
    text = shown(width=64)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 64
    assert cells(text, "clustering accuracy (%)") == ["78.00", "77.64", "+0.36"]


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.5, "50.00"), (0.77644, "77.64"), (0.0, "0.00")])
def test_fractions_become_percent(value: float | None, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (750, "12:30"), (11100, "3:05:00")])
def test_times_read_like_a_clock(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_title_says_what_was_chosen_of_the_model() -> None:
    chosen = {"bottleneck.K": 8, "network.d": 16, "trainer.max_steps": 60, "network.encoder.hidden": [16]}
    assert chosen_words("paper", chosen) == ["K=8", "d=16"]
    target = {"bottleneck._target_": "softvq.bottlenecks.soft_vq.ReleasedMNISTSoftVQ", "optimizer.lr": 0.001}
    assert chosen_words("released", target) == ["fidelity=released", "_target_=ReleasedMNISTSoftVQ", "lr=0.001"]
    assert "soft_vq on mnist, K=8, d=16, seed 3\n" in shown(hyperparameters=chosen)
