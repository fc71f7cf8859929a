"""A run folder: read where its files agree, named and not counted where they do not."""

import json
import os

import pytest
import yaml
from report_runs import (
    change_config,
    change_json,
    fail,
    stop_early,
    write_evaluation,
    write_json,
    write_run,
    write_yaml,
)

from softvq.bounded_files import read_json
from softvq.config.identity import config_hash
from softvq.report.read.collection import collect
from softvq.report.read.run_files import read_run
from softvq.run_folder import DamagedFileError


def damage(path) -> str:
    """Why a folder is damaged."""
    with pytest.raises(DamagedFileError) as caught:
        read_run(path, "run")
    assert "\n" not in caught.value.reason
    return f"{caught.value.path.name}: {caught.value.reason}"


def test_a_finished_run_says_what_it_is_and_where_its_numbers_come_from(tmp_path):
    folder = write_run(tmp_path / "run", bottleneck="soft_vq", seed=3)
    run, metrics = read_run(folder, "run"), read_json(folder / "metrics.json")
    assert (run.status, run.data, run.bottleneck, run.seed, run.steps) == ("finished", "mnist", "soft_vq", 3, 40000)
    assert run.values == {**metrics["probes"], "test_normalized_mse": 0.3}
    assert (run.config_hash, run.commit) == (metrics["config_hash"], metrics["provenance"]["commit"])
    assert run.data_sha256 == metrics["provenance"]["data"]["sha256"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"status": "fin', "metrics.json: it cannot be read: Unterminated string"),
        ("", "metrics.json: it cannot be read: "),
        ("[1, 2]", "metrics.json: it holds no mapping"),
        ('{"accuracy": 0.9}', "metrics.json: it has no config_hash"),
        ("[" * 100_000, "metrics.json: it cannot be read: its values are nested"),
        (b"\xff\xfe\x00{", "metrics.json: it cannot be read: it is no UTF-8 text"),
        ({"status": "running"}, "status is 'running'"),
        ({"probes": None}, "probes is None"),
        ({"probes": {"clustering_accuracy": 77.6}}, "clustering_accuracy is 77.6, not a fraction of 1"),
        ({"probes": {"clustering_accuracy": True}}, "clustering_accuracy is True"),
        ({"config_hash": "0" * 16}, "its config_hash is '0000000000000000', that of config.yaml is '"),
        ({"seed": 4}, "seed is 4, config.yaml has 0"),
        ({"seed": "0"}, "seed is '0'"),
        ({"steps": 2000}, "steps is 2000, config.yaml has 40000"),
        ({"status": "stopped_early", "steps": 50_000}, "stopped early after 50000 steps, config.yaml has 40000"),
        ({"fidelity": "released"}, "fidelity is 'released'"),
        ({"bottleneck": "soft_vq"}, "bottleneck is 'soft_vq'"),
        ({"data": "svhn"}, "data is 'svhn'"),
        ({"provenance": {}}, "it has no provenance.data"),
        ({"provenance": {"data": {"name": "mnist", "sha256": "f" * 64}}}, "provenance.data.sha256 is 'ffff"),
        ({"protocol": {"name": "paper"}}, "protocol.seed is None, config.yaml has 0"),
    ],
)
def test_a_result_that_is_none_or_another_settings_is_damage(tmp_path, content, reason):
    path = write_run(tmp_path / "run") / "metrics.json"
    if isinstance(content, dict):
        change_json(path, **content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert reason in damage(path.parent)
    assert str(tmp_path) not in damage(path.parent)


def test_a_protocol_other_than_the_configurations_is_damage(tmp_path):
    folder = write_run(tmp_path / "run")
    protocol = read_json(folder / "metrics.json")["protocol"]
    protocol["clustering"]["n_init"] = 10
    change_json(folder / "metrics.json", protocol=protocol)
    assert "metrics.json: protocol.clustering is" in damage(folder)


@pytest.mark.parametrize(
    ("section", "changes", "reason"),
    [
        (
            "trainer",
            {"max_steps": 60},
            "config.yaml: its settings are not those of the results: trainer.max_steps: 40000 -> 60",
        ),
        (
            "probes",
            {"name": "fast"},
            "config.yaml: its settings are not those of the results: probes.name: paper -> fast",
        ),
        ("choices", {"bottleneck": "vq"}, "bottleneck is 'vae'"),
        ("data", {"name": "svhn"}, "config.yaml: its settings are not those of the results: data.name: mnist -> svhn"),
        ("result_settings", {"penalty_weight": 2.0}, "config_hash is"),
    ],
)
def test_a_configuration_that_was_changed_afterwards_is_damage(tmp_path, section, changes, reason):
    folder = write_run(tmp_path / "run")
    change_config(folder, section, **changes)
    assert reason in damage(folder)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "config.yaml: it is missing"),
        ("a: [1", "config.yaml: it cannot be read: "),
        ("- 1", "config.yaml: it holds no mapping"),
        ("data: {name: mnist}", "config.yaml: it has no result_settings"),
        ("result_settings: {}\nchoices: {}", "config.yaml: it has no data"),
        ("!!python/object/apply:os.system ['true']", "config.yaml: it cannot be read: "),
        ("a: &a [*a]", "alias"),
        (
            "data: {}\nchoices: {}\nresult_settings: {data: {}, probes: {}, trainer: 1}\nseed: 0",
            "result_settings.trainer is 1",
        ),
    ],
)
def test_a_result_whose_settings_are_unknown_is_damage(tmp_path, config, reason):
    path = write_run(tmp_path / "run") / "config.yaml"
    path.unlink() if config is None else path.write_text(config)
    assert reason in damage(path.parent)


def test_settings_that_are_no_plain_values_are_damage(tmp_path):
    folder = write_run(tmp_path / "run")
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("  penalty_weight: 1.0", "  penalty_weight: 2001-01-01"))
    assert "it holds a date, which no run writes" in damage(folder)


@pytest.mark.parametrize("name", ["config.yaml", "metrics.json", "failure.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "bytes"])
def test_a_file_that_is_none_neither_hangs_nor_stops_its_neighbours(tmp_path, name, kind):
    path = write_run(tmp_path / "hostile") / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"\x00\xff")
    write_run(tmp_path / "whole", seed=1)
    found = collect([tmp_path])
    assert [run.folder for run in found.runs] == ["whole"]
    (remark,) = found.damaged
    assert remark.folder == "hostile"
    assert name in remark.reason


def test_numbers_may_be_missing_where_the_data_have_no_labels(tmp_path):
    folder = write_run(tmp_path / "run", more={"probes": {"clustering_accuracy": None}})
    assert read_run(folder, "run").values == {"test_normalized_mse": 0.3}


def test_a_failed_run_says_why_without_the_machines_folders(tmp_path):
    folder = fail(write_run(tmp_path / "run", seed=2), "the loss is nan; see /home/someone/logs/failed/run.log")
    run = read_run(folder, "run")
    assert (run.status, run.steps, run.values) == ("failed", 120, {})
    assert run.reason == "NonFiniteLossError: the loss is nan; see …/run.log"


def test_a_run_without_a_result_is_unfinished(tmp_path):
    (write_run(tmp_path / "run") / "metrics.json").unlink()
    assert read_run(tmp_path / "run", "run").status == "unfinished"


def test_a_run_that_failed_before_it_had_a_configuration_is_a_remark(tmp_path):
    write_json(tmp_path / "early" / "failure.json", {"error": "ValueError", "message": "no"})
    found = collect([tmp_path])
    assert [(remark.folder, remark.reason) for remark in found.failed] == [("early", "ValueError: no")]
    assert found.counts()["failed"] == 1


def test_a_run_that_was_stopped_early_says_by_whom(tmp_path):
    run = read_run(stop_early(write_run(tmp_path / "run"), 196), "run")
    assert (run.status, run.steps, run.reason) == ("stopped_early", 196, "Timer")


def test_a_setting_younger_than_the_run_changes_nothing_of_it(tmp_path):
    folder = write_run(tmp_path / "old")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["result_settings"]["optimizer"]["fused"]
    write_yaml(folder / "config.yaml", config)
    change_json(folder / "metrics.json", config_hash=config_hash(config["result_settings"]))
    assert read_run(folder, "old").status == "finished"


def test_ones_own_data_cannot_take_a_known_name(tmp_path):
    folder = write_run(tmp_path / "own")
    change_config(folder, "choices", data="arrays")
    assert read_run(folder, "own").data == "mnist (arrays)"


def test_evaluations_of_other_weights_and_broken_ones_are_problems_not_numbers(tmp_path):
    folder = write_run(tmp_path / "run")
    write_evaluation(folder, "berthelot", "z_q", (0.8, 0.7, 0.9))
    write_evaluation(folder, "fast", "z_e", (0.1, 0.1, 0.1), config_hash="0" * 16)
    (folder / "evaluations" / "paper-z_e-mnist.json").write_text("[")
    os.mkfifo(folder / "evaluations" / "pipe.json")
    run = read_run(folder, "run")
    (evaluation,) = run.evaluations
    assert (evaluation.protocol, evaluation.tap, evaluation.values["clustering_accuracy"]) == ("berthelot", "z_q", 0.8)
    assert len(run.problems) == 3
    assert "evaluations/fast-z_e-mnist.json: its config_hash is 0000" in " ".join(run.problems)
    assert str(tmp_path) not in json.dumps(run.problems)
