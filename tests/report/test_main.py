"""`softvq report`: what it writes, where, and what it does about folders that it cannot read or write."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from report_runs import write_evaluation, write_hostile, write_run, write_table

from softvq.report.__main__ import main

OUTPUTS = ("tables.md", "tables.tex", "results.json", "runs.csv", "evaluations.csv", "report.html")


@pytest.fixture(scope="module")
def table_1(tmp_path_factory):
    """Some rows of Table 1, three seeds each, and one seed of SVHN."""
    root = tmp_path_factory.mktemp("runs")
    write_table(root, "mnist", range(3), ["raw", "vae", "vq"], figures=("tsne",))
    write_table(root, "svhn", [0], ["vq"], experiment="table_2")
    write_evaluation(root / "table_1/mnist/vq/seed-1", "fast", "z_q", (0.5, 0.4, 0.3))
    return root


def test_equal_runs_give_equal_bytes_wherever_they_lie(table_1, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    copy = tmp_path / "elsewhere" / "copy"
    copy.mkdir(parents=True)
    for path in sorted(table_1.rglob("seed-*"), reverse=True):  # another order, other times
        shutil.copytree(path, copy / path.relative_to(table_1), copy_function=shutil.copyfile)
    for root in (table_1, copy):
        assert main([str(root), "--out", str(root / "report")]) == 0
    for name in (*OUTPUTS, "plots/table_1.svg"):
        first, second = ((root / "report" / name).read_bytes() for root in (table_1, copy))
        assert first == second
        for host in (str(table_1), str(tmp_path)):
            assert host.encode() not in first
    assert "1 January 1970" in (copy / "report" / "report.html").read_text()
    assert "report/report.html" in capsys.readouterr().out
    shutil.rmtree(table_1 / "report")


def test_deleting_the_only_run_of_an_entry_turns_it_and_nothing_else_into_not_run(table_1, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(table_1, copy)
    shutil.rmtree(copy / "table_2/svhn/vq/seed-0")
    texts = []
    for root in (table_1, copy):
        assert main([str(root), "--out", str(tmp_path / "out")]) == 0
        text = (tmp_path / "out" / "tables.md").read_text()
        texts.append(text[text.index("### Table 1") : text.index("### Every number")].splitlines())
    different = [(a, b) for a, b in zip(*texts, strict=True) if a != b]
    assert len(different) == 1
    assert different[0][1].startswith("| VQ-VAE (K = 512) | — | 12.96 | not run | — | 31.57 | not run |")


def test_evaluations_have_a_table_of_their_own(table_1, tmp_path):
    assert main([str(table_1), "--out", str(tmp_path)]) == 0
    head, row = (tmp_path / "evaluations.csv").read_text().splitlines()
    found = dict(zip(head.split(","), row.split(","), strict=True))
    expected = {"bottleneck": "vq", "seed": "1", "trained_on": "mnist", "protocol": "fast", "tap": "z_q"}
    assert {key: found[key] for key in expected} == expected
    assert (found["clustering_accuracy"], found["folder"]) == ("0.5", "table_1/mnist/vq/seed-1")


def test_a_report_is_made_from_the_table_of_an_earlier_one(table_1, tmp_path, capsys):
    assert main([str(table_1), "--out", str(tmp_path / "first")]) == 0
    assert main([str(tmp_path / "first" / "runs.csv"), "--out", str(tmp_path / "second")]) == 0
    assert capsys.readouterr().out.count("8 finished") == 2
    first, second = ((tmp_path / name / "runs.csv").read_text() for name in ("first", "second"))
    assert first == second


def test_the_committed_table_of_runs_makes_a_report(tmp_path):
    committed = Path(__file__).parents[2] / "docs" / "results" / "runs.csv"
    assert main([str(committed), "--out", str(tmp_path)]) == 0
    rows = list(csv.DictReader(committed.read_text(encoding="utf-8").splitlines()))
    assert len(rows) >= 40
    assert all(len(row["config_hash"]) == 16 and len(row["data_sha256"]) == 64 for row in rows)
    assert (tmp_path / "runs.csv").read_text() == committed.read_text()


@pytest.mark.process
def test_another_process_never_imports_torch(tmp_path):
    write_run(tmp_path / "vae")
    code = (
        "import sys; from softvq.report.__main__ import main; "
        f"assert main([{str(tmp_path)!r}]) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no folder of runs at .*nowhere"),
        (["nowhere.csv"], "No such file|nowhere.csv"),
        (["logs", "--config-dir", "nowhere"], "there is no folder of configurations at .*nowhere"),
        (["logs", "--out", "file"], "cannot write .*file.*; choose another folder with --out DIR"),
        (["logs", "--out", "/proc/report"], "cannot write /proc/report.*; choose another folder with --out DIR"),
    ],
)
def test_what_cannot_be_read_or_written_is_one_line_and_makes_no_folder(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    (tmp_path / "file").touch()
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(f"error: .*({message}).*\n", error)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "logs"]
    assert list((tmp_path / "logs").iterdir()) == []


def test_nothing_is_written_beside_the_runs_when_the_report_goes_elsewhere(table_1, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in sorted(table_1.rglob("*"))}
    assert main([str(table_1), "--out", str(tmp_path / "out")]) == 0
    assert {path: path.stat().st_mtime_ns for path in sorted(table_1.rglob("*"))} == before


def test_hostile_names_write_no_file_outside_the_report(tmp_path, capsys):
    write_hostile(tmp_path / "logs")
    write_run(tmp_path / "logs/up-0", experiment="../../escaped")
    write_run(tmp_path / "logs/up-1", bottleneck="vq", experiment="../../escaped")
    assert main([str(tmp_path / "logs"), "--out", str(tmp_path / "out" / "report")]) == 0
    assert not list(tmp_path.rglob("*escaped*.svg")) or [path.parent for path in tmp_path.rglob("*escaped*.svg")] == [
        tmp_path / "out" / "report" / "plots"
    ]
    assert capsys.readouterr().out.strip().isprintable()


def test_an_empty_folder_gives_the_papers_numbers_alone(tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    assert main([str(tmp_path / "logs")]) == 0
    assert "no runs; report:" in capsys.readouterr().out
    text = (tmp_path / "logs" / "report" / "report.html").read_text()
    assert "No run has finished yet." in text
    assert "77.64" in text
    assert Path(tmp_path / "logs" / "report" / "runs.csv").read_text().count("\n") == 1
