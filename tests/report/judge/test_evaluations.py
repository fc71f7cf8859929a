"""What was measured later of an entry's runs: what is pooled, and how one row is told from another."""

from report_runs import write_evaluation, write_run

from softvq.bounded_files import read_json
from softvq.durable_files import write_json
from softvq.report.judge.entries import make_entries
from softvq.report.judge.evaluations import evaluated
from softvq.report.read.collection import collect


def rows(tmp_path, defaults):
    (entry,) = make_entries(collect([tmp_path]).runs, defaults)
    return evaluated(entry)


def test_seeds_of_one_protocol_are_pooled(tmp_path, defaults):
    for seed in range(3):
        folder = write_run(tmp_path / str(seed), seed=seed)
        write_evaluation(folder, "berthelot", "z_e", (0.5 + seed / 10, 0.4, 0.9))
    (found,) = rows(tmp_path, defaults)
    assert (found.protocol, found.tap, found.data) == ("berthelot", "z_e", "mnist")
    assert found.values["clustering_accuracy"] == {0: 0.5, 1: 0.6, 2: 0.7}


def test_one_protocol_with_other_settings_says_which(tmp_path, defaults):
    folder = write_run(tmp_path / "run")
    path = write_evaluation(folder, "fast", "z_e", (0.5, 0.4, 0.9))
    content = read_json(path)
    content["protocol"]["clustering"]["n_init"] = 50
    write_json(path.with_stem("fast-z_e-mnist-more"), content)
    usual = read_json(path)["protocol"]["clustering"]["n_init"]
    assert {found.protocol for found in rows(tmp_path, defaults)} == {
        "fast, probes.clustering.n_init=50",
        f"fast, probes.clustering.n_init={usual}",
    }
