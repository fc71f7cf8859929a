"""`softvq report`: what it writes, where, and what it does about folders that it cannot read or write."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from report_runs import write_evaluation, write_hostile, write_json, write_run, write_table

from softvq.bounded_files import read_json
from softvq.command.report import main
from softvq.report.read.collection import collect
from softvq.report.read.runs_csv import runs_csv
from softvq.report.write.figure_4 import panels
from softvq.report.write.markdown import markdown
from softvq.report.write.results import results
from softvq.seals import sealed

OUTPUTS = ("tables.md", "tables.tex", "results.json", "runs.csv", "evaluations.csv", "report.html")
EVALUATION = "evaluations/fast-z_e-mnist.json"
COMMITTED = Path(__file__).parents[2] / "docs" / "results" / "runs.csv"


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Two rows of Table 1, three seeds each, one seed of SVHN, and an evaluation."""
    root = tmp_path_factory.mktemp("runs") / "logs"
    write_table(root, "mnist", range(3), ["vae", "vq"], figures=("tsne",))
    write_table(root, "svhn", [0], ["vq"], experiment="table_2")
    write_evaluation(root / "table_1/mnist/vq/seed-1", "fast", "z_q", (0.5, 0.4, 0.3))
    return root


@pytest.fixture(scope="module")
def report(logs, tmp_path_factory):
    """Their report, in a folder elsewhere, and the times of their files before it was made."""
    before = times(logs)
    out = tmp_path_factory.mktemp("out") / "runs" / "report"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "0")
        assert main([str(logs), "--out", str(out)]) == 0
    return out, before


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.mark.slow
def test_equal_runs_give_equal_bytes_wherever_they_lie(logs, report, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    out, _ = report
    copy = tmp_path / "elsewhere" / "copy"
    copy.mkdir(parents=True)
    for path in sorted(logs.rglob("seed-*"), reverse=True):  # another order, other times
        shutil.copytree(path, copy / path.relative_to(logs), copy_function=shutil.copyfile)
    assert main([str(copy), "--out", str(tmp_path / "report")]) == 0
    assert "7 finished; report: " in capsys.readouterr().out
    for name in (*OUTPUTS, "plots/table_1.svg"):
        first, second = ((folder / name).read_bytes() for folder in (out, tmp_path / "report"))
        assert first == second
        for host in (str(logs), str(tmp_path)):
            assert host.encode() not in first
    assert "1 January 1970" in (out / "report.html").read_text()


def test_nothing_is_written_beside_the_runs_when_the_report_goes_elsewhere(logs, report):
    _, before = report
    assert times(logs) == before


def test_evaluations_have_a_table_of_their_own(report):
    head, row = (report[0] / "evaluations.csv").read_text().splitlines()
    found = dict(zip(head.split(","), row.split(","), strict=True))
    expected = {"bottleneck": "vq", "seed": "1", "trained_on": "mnist", "protocol": "fast", "tap": "z_q"}
    assert {key: found[key] for key in expected} == expected
    assert (found["clustering_accuracy"], found["folder"]) == ("0.5", "table_1/mnist/vq/seed-1")


def test_deleting_the_only_run_of_an_entry_turns_it_and_nothing_else_into_not_run(logs, defaults, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(logs, copy)
    shutil.rmtree(copy / "table_2/svhn/vq/seed-0")
    texts = []
    for root in (logs, copy):
        text = markdown(results(collect([root]), defaults))
        texts.append(text[text.index("### Table 1") : text.index("### Every number")].splitlines())
    different = [(a, b) for a, b in zip(*texts, strict=True) if a != b]
    assert len(different) == 1
    assert different[0][1].startswith("| VQ-VAE (K = 512) | — | 12.96 | not run | — | 31.57 | not run |")


def test_a_report_is_made_from_the_table_of_an_earlier_one(report, tmp_path, capsys):
    first = report[0] / "runs.csv"
    assert main([str(first), "--out", str(tmp_path)]) == 0
    assert "7 finished; report: " in capsys.readouterr().out
    for table in ("runs.csv", "evaluations.csv", "tables.md"):
        assert (tmp_path / table).read_text() == (report[0] / table).read_text()


def test_the_committed_table_of_runs_is_read_whole_and_written_as_it_is(defaults):
    runs = collect([COMMITTED]).runs
    assert len(runs) >= 40
    assert all(len(run.config_hash) == 16 and len(run.data_sha256) == 64 and run.commit for run in runs)
    assert all(run.values for run in runs if run.status == "finished")
    assert runs_csv(runs, [defaults.departures(run) for run in runs]) == COMMITTED.read_text(encoding="utf-8")
    table = results(collect([COMMITTED]), defaults)["paper_tables"][0]["tables"][0]
    assert all(entry["n"] for row in table["rows"] for entry in row["entries"])


def test_what_is_said_of_the_committed_runs_is_true_of_them(defaults, tmp_path):
    runs = collect([COMMITTED]).runs
    assert panels(runs, {}, tmp_path) == []  # a table of runs holds no pictures, which is no fault of theirs
    experiments = {found["name"]: found for found in results(collect([COMMITTED]), defaults)["experiments"]}
    for found in experiments.values():
        papers = [number["paper"] for row in found["rows"] for number in row["metrics"].values()]
        assert found["beside_the_papers"] == any(paper is not None for paper in papers)
    assert experiments["table_1"]["beside_the_papers"]
    assert not experiments["zoo"]["beside_the_papers"]
    (labelled,) = [r for r in experiments["zoo"]["rows"] if (r["data"], r["model"]) == ("mnist", "dvib")]
    accuracy = {r["title"]: r["metrics"]["classification_accuracy"]["mean"] for r in experiments["zoo"]["rows"]}
    assert accuracy[labelled["title"]] == max(accuracy.values())
    assert labelled["best"] == []  # it has learned from labels
    assert "sees labels" in labelled["model_title"]


@pytest.mark.process
def test_another_process_never_imports_torch(tmp_path):
    write_run(tmp_path / "vae")
    code = (
        "import sys; from softvq.command.report import main; "
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
        (
            ["logs", "--out", "/dev/null"],
            "cannot write /dev/null/.*: File exists; choose another folder with --out DIR",
        ),
        (["none.csv"], "there is no table of runs at none.csv"),
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


def test_hostile_names_write_no_file_outside_the_report(tmp_path, capsys):
    write_hostile(tmp_path / "logs")
    write_run(tmp_path / "logs/up-0", experiment="../../escaped")
    write_run(tmp_path / "logs/up-1", bottleneck="vq", experiment="../../escaped")
    assert main([str(tmp_path / "logs"), "--out", str(tmp_path / "out" / "report")]) == 0
    plots = list(tmp_path.rglob("*escaped*"))
    assert [plot.parent for plot in plots] == [tmp_path / "out" / "report" / "plots"]
    assert capsys.readouterr().out.strip().isprintable()


@pytest.mark.parametrize("name", ["tables.md", "results.json", "runs.csv", "report.html", "plots/table_1.svg"])
def test_somebodys_own_files_are_not_overwritten(logs, tmp_path, capsys, name):
    own = tmp_path / name
    own.parent.mkdir(exist_ok=True)
    own.write_text("# Results\n\nof my thesis\n")
    assert main([str(logs), "--out", str(tmp_path)]) == 1
    assert re.fullmatch(rf"error: .* holds {own.name} of somebody's own.*--out DIR\n", capsys.readouterr().err)
    assert own.read_text() == "# Results\n\nof my thesis\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file() and ".cache" not in path.parts] == [own]


def test_a_report_takes_the_place_of_an_earlier_one(logs, report, tmp_path, capsys):
    for kept in (["runs.csv"], OUTPUTS):  # also of one that was broken off
        out = tmp_path / str(len(kept))
        out.mkdir()
        for name in kept:
            shutil.copy(report[0] / name, out)
        assert main([str(logs), "--out", str(out)]) == 0, capsys.readouterr().err


def test_a_run_whose_numbers_were_changed_is_damaged(tmp_path):
    for name in ("whole", "changed"):
        folder = write_run(tmp_path / name)
        write_json(folder / "metrics.json", sealed(read_json(folder / "metrics.json")))
        write_json(write_evaluation(folder, "fast", "z_e", (0.5, 0.5, 0.5)), sealed(read_json(folder / EVALUATION)))
    for file in ("metrics.json", EVALUATION):
        path = tmp_path / "changed" / file
        text = path.read_text()
        path.write_text(text.replace("0.5", "0.6", 1))
        found = collect([tmp_path])
        problems = [remark.reason for remark in found.damaged] + [p for run in found.runs for p in run.problems]
        assert problems == [f"{file}: its numbers are not those that were written: their checksum does not match"]
        path.write_text(text)
    assert collect([tmp_path]).counts()["finished"] == 2


def test_an_empty_folder_gives_the_papers_numbers_alone(tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    assert main([str(tmp_path / "logs")]) == 0
    assert "no runs; report:" in capsys.readouterr().out
    text = (tmp_path / "logs" / "report" / "report.html").read_text()
    assert "No run has finished yet." in text
    assert "77.64" in text
    assert Path(tmp_path / "logs" / "report" / "runs.csv").read_text().count("\n") == 1
