"""The runs as one small table that stands for their folders."""

import csv
import io

import pytest
from report_runs import HOSTILE, fail, write_run, write_table

from softvq.report.read.collection import collect
from softvq.report.read.runs_csv import read_runs_csv, runs_csv
from softvq.report.write.results import results


@pytest.fixture
def written(tmp_path, defaults):
    """Writes the table of what lies in the test's folder, and returns its path."""

    def write():
        runs = collect([tmp_path / "logs"]).runs
        path = tmp_path / "runs.csv"
        path.write_text(runs_csv(runs, [defaults.departures(run) for run in runs]))
        return path

    return write


def test_a_row_holds_what_a_reader_of_the_table_is_promised(tmp_path, written):
    write_run(tmp_path / "logs/a", bottleneck="vq", seed=4, overrides=("bottleneck.K=512",), probes=(0.4, 0.3, 0.8))
    write_run(tmp_path / "logs/b", bottleneck="raw")
    first, second = csv.DictReader(io.StringIO(written().read_text()))
    expected = {
        "experiment": "table_1",
        "data": "mnist",
        "bottleneck": "vq",
        "fidelity": "paper",
        "seed": "4",
        "steps": "40000",
        "protocol": "paper",
        "bottleneck.K": "512",
        "clustering_accuracy": "0.4",
        "clustering_nmi": "0.3",
        "classification_accuracy": "0.8",
        "test_normalized_mse": "0.3",
        "diagnostics.dead_codes": "7",
        "device": "cpu",
        "status": "finished",
    }
    assert {key: first[key] for key in expected} == expected
    assert len(first["config_hash"]) == 16
    assert len(first["commit"]) == 40
    assert (second["bottleneck.K"], second["test_normalized_mse"], second["steps"]) == ("", "", "0")


def test_the_report_from_the_table_is_that_from_the_folders(tmp_path, defaults, written):
    write_table(tmp_path / "logs", "mnist", range(3), ["raw", "vae", "vq", "soft_vq"])
    write_table(tmp_path / "logs/short", "mnist", range(2), ["vae"], overrides=("trainer.max_steps=60", "probes=fast"))
    for seed in range(3):
        write_run(
            tmp_path / f"logs/k-{seed}",
            bottleneck="vq",
            seed=seed,
            overrides=("bottleneck.K=512",),
            experiment="k_sweep",
        )
    fail(write_run(tmp_path / "logs/lost", bottleneck="vq", seed=7))
    from_folders, from_table = (results(collect([path]), defaults) for path in (tmp_path / "logs", written()))
    for part in ("paper_tables", "runs", "failed", "counts"):
        assert from_table[part] == from_folders[part]
    for table, folders in zip(from_table["experiments"], from_folders["experiments"], strict=True):
        assert table == folders


def test_hashes_and_hostile_names_come_back_as_they_were(tmp_path, written):
    write_run(tmp_path / "logs/a", more={"provenance": {}})
    write_run(tmp_path / "logs/b", experiment=HOSTILE)
    path = written()
    text = path.read_text()
    (run,) = read_runs_csv(path)
    path.write_text(text.replace(run.config_hash, "12345678e1234567").replace(run.commit, "0" * 40))
    (again,) = read_runs_csv(path)
    assert (again.config_hash, again.commit) == ("12345678e1234567", "0" * 40)
    assert again.experiment == run.experiment
    assert again.experiment.isprintable()


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "seed,experiment\nx,y\n", '"', "\x00"])
def test_another_table_is_refused_by_name(tmp_path, content):
    path = tmp_path / "other.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"other\.csv is no table of runs"):
        read_runs_csv(path)


def test_a_row_that_is_none_is_refused_by_its_line(tmp_path, written):
    write_run(tmp_path / "logs/a")
    path = written()
    path.write_text(path.read_text().replace("vae,paper,0,", "vae,paper,zero,"))
    with pytest.raises(ValueError, match="line 2: ValueError"):
        read_runs_csv(path)
