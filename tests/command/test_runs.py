"""`softvq runs`: a table of runs, and two of them side by side."""

import pytest
from report_runs import stop_early, write_curve, write_run
from rich.console import Console

from softvq.command.runs import main
from softvq.console import screen


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(screen, "terminal", Console(width=200, markup=False, highlight=False))
    for k, accuracy in ((128, 0.45), (512, 0.55)):
        write_run(
            tmp_path / f"logs/vq-{k}", bottleneck="vq", probes=(accuracy, 0.4, 0.8), overrides=(f"bottleneck.K={k}",)
        )
    write_run(tmp_path / "logs/vae", probes=(0.65, 0.5, 0.9))
    return tmp_path / "logs"


def lines(capsys) -> list[str]:
    return [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def rows(capsys) -> list[str]:
    return [line.split()[0] for line in lines(capsys) if line.startswith(("vq", "vae"))]


def test_the_table_shows_what_was_varied_and_all_numbers_in_percent(logs, capsys):
    assert main([str(logs)]) == 0
    text = lines(capsys)
    assert any(line.split()[-4:] == ["45.00", "40.00", "80.00", "0.3000"] and "128" in line for line in text)
    assert any(" K " in line for line in text)
    assert text[-1] == "3 finished"


def test_sorted_the_best_come_first(logs, capsys):
    assert main([str(logs), "--sort", "clustering"]) == 0
    assert rows(capsys) == ["vae", "vq-512", "vq-128"]
    assert main([str(logs), "--sort", "K"]) == 0
    assert rows(capsys) == ["vq-128", "vq-512", "vae"]


def test_several_conditions_hold_together(logs, capsys):
    assert main([str(logs), "--where", "bottleneck=vq", "--where", "K=512"]) == 0
    text = lines(capsys)
    assert [line.split()[0] for line in text if line.startswith("vq")] == ["vq-512"]
    assert text[-1] == "1 of 3 finished"


def test_runs_without_a_result_and_damaged_ones_are_told(logs, capsys):
    stop_early(logs / "vae", 196)
    (logs / "vq-128" / "metrics.json").write_text("{\x1b[2J")
    assert main([str(logs)]) == 0
    said = capsys.readouterr()
    assert "stopped early" in said.out
    assert "vq-128 is left out: metrics.json: it cannot be read" in said.err
    assert "\x1b" not in said.err + said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no folder of runs at nowhere"),
        (["logs", "--sort", "clusterin"], "runs have no clusterin; did you mean clustering?"),
        (["logs", "--where", "bottleneck=vqq"], "no run has bottleneck=vqq; did you mean vq?; there are vq, vae"),
        (["logs", "--where", "vq"], "a condition is NAME=VALUE"),
        (["compare", "logs/vae", "logs/nowhere"], "there is no run folder logs/nowhere"),
        (["compare", "logs/vae", "logs"], "logs is no run's: it has no config.yaml"),
        (["compare", "logs/vae", "logs/vq-128", "--out", "nowhere/x.png"], "there is no folder nowhere"),
        (["compare", "logs/vae", "logs/vq-128", "--out", "logs"], "cannot write logs: Is a directory"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(logs, capsys, arguments, message):
    for name in ("vae", "vq-128"):
        write_curve(logs / name)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error.replace("\n", " ")
    assert "Traceback" not in error
    assert sorted(path.name for path in logs.parent.iterdir()) == ["logs"]


def test_two_runs_side_by_side(logs, capsys, tmp_path):
    for name in ("vq-128", "vq-512"):
        write_curve(logs / name)
    assert main(["compare", str(logs / "vq-128"), str(logs / "vq-512")]) == 0
    text = lines(capsys)
    assert any(line.split() == ["bottleneck.K", "128", "512"] for line in text)
    assert any(line.split() == ["Clustering", "(%)", "45.00", "55.00", "+10.00"] for line in text)
    assert not any(line.startswith("network.d") for line in text)  # it is the same
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_equal_settings_say_so_and_a_missing_curve_costs_nothing(logs, capsys, tmp_path):
    write_run(tmp_path / "logs/again", probes=(0.6, 0.5, 0.9))
    assert main(["compare", str(logs / "vae"), str(logs / "again"), "--out", "curves.png"]) == 0
    text = lines(capsys)
    assert text[0] == "the settings that decide the result are the same"
    assert text[-1] == "no training curve that both runs have"
    assert not (tmp_path / "curves.png").exists()
