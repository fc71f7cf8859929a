"""Run folders as a pandas table."""

import doctest

import pytest
from report_runs import fail, stop_early, write_evaluation, write_run

from softvq.report.read import table
from softvq.report.read.table import read_runs


@pytest.fixture
def example_logs(tmp_path):
    for seed, accuracy in ((0, 0.77), (1, 0.79)):
        write_run(tmp_path / f"logs/a-{seed}", bottleneck="soft_vq", seed=seed, probes=(accuracy, 0.7, 0.9))
    write_run(tmp_path / "logs/b")
    return tmp_path / "logs"


def test_the_documented_example_runs(example_logs):
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    example = parser.get_doctest(read_runs.__doc__, {"read_runs": read_runs, "example_logs": example_logs}, "", None, 0)
    assert len(example.examples) == 3
    assert runner.run(example).failed == 0


def test_every_number_and_setting_is_a_column(example_logs):
    runs = read_runs(str(example_logs))
    assert list(runs.columns[:10]) == list(table.FIRST)
    assert runs["probes.clustering_accuracy"].tolist() == [0.77, 0.79, 0.5644]
    assert runs["reconstruction.test_normalized_mse"].dtype == "float64"
    assert runs["diagnostics.perplexity"].isna().tolist() == [False, False, True]
    assert runs["time.fit_s"].tolist() == [812.5] * 3
    assert runs["trainer.max_steps"].tolist() == [40000] * 3
    assert runs["optimizer.lr"].gt(0).all()
    assert runs["network.encoder.hidden"].tolist() == [(500, 500, 2000)] * 3
    assert runs["bottleneck.K"].dtype == "Int64"
    assert runs[["config_hash", "commit", "device"]].notna().all(axis=None)
    assert runs.groupby("network.encoder.hidden").size().tolist() == [3]


def test_runs_without_a_result_have_a_row_and_no_numbers(example_logs):
    fail(example_logs / "a-0")
    (example_logs / "a-1" / "metrics.json").unlink()
    stop_early(example_logs / "b", 196)
    runs = read_runs(example_logs).set_index("folder")
    assert runs.status.to_dict() == {"a-0": "failed", "a-1": "unfinished", "b": "stopped_early"}
    assert runs["probes.clustering_nmi"].notna().to_dict() == {"a-0": False, "a-1": False, "b": True}
    assert runs.steps.fillna(-1).to_dict() == {"a-0": 120, "a-1": -1, "b": 196}


def test_a_damaged_run_is_warned_of_and_left_out(example_logs):
    (example_logs / "b" / "metrics.json").write_text("{")
    with pytest.warns(UserWarning, match="b is left out: metrics.json: it cannot be read"):
        assert len(read_runs(example_logs)) == 2


def test_a_folder_without_runs_gives_a_table_without_rows(tmp_path):
    runs = read_runs(tmp_path)
    assert len(runs) == 0
    assert {"folder", "status", "config_hash"} <= set(runs)


def test_several_folders_make_one_table(example_logs, tmp_path):
    write_run(tmp_path / "more" / "run")
    assert read_runs([example_logs, tmp_path / "more"]).folder.tolist() == [
        "logs/a-0",
        "logs/a-1",
        "logs/b",
        "more/run",
    ]


def test_evaluations_are_no_rows(example_logs):
    write_evaluation(example_logs / "b", "fast", "z_e", (0.1, 0.2, 0.3))
    assert len(read_runs(example_logs)) == 3
