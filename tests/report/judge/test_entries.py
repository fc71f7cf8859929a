"""What goes into an entry, what is kept apart, and what its reader is told."""

import pytest
from report_runs import SHA, change_config, change_json, fail, stop_early, write_run

from softvq.bounded_files import read_json
from softvq.report.judge.entries import make_entries
from softvq.report.read.collection import collect


@pytest.fixture
def entries(tmp_path, defaults):
    """The entries of what lies in the test's folder, by data and model."""

    def make():
        return make_entries(collect([tmp_path]).runs, defaults)

    return make


def change_provenance(folder, **changes):
    provenance = read_json(folder / "metrics.json")["provenance"]
    provenance["data"] |= changes.pop("data", {})
    change_json(folder / "metrics.json", provenance={**provenance, **changes})


def test_an_entry_holds_a_run_a_seed_in_the_order_of_seeds(tmp_path, entries):
    for seed in (2, 0, 1):
        write_run(tmp_path / f"{seed}", seed=seed, probes=(0.5 + 0.1 * seed, 0.5, 0.9))
    (entry,) = entries()
    assert entry.values("clustering_accuracy") == {0: 0.5, 1: 0.6, 2: 0.7}
    assert entry.summary("clustering_accuracy").mean == pytest.approx(0.6)
    assert entry.diagnostics() == {"active_units": 64}
    assert entry.notes == ()


def test_other_steps_protocols_fidelities_and_settings_are_never_pooled(tmp_path, entries):
    overrides = ((), ("trainer.max_steps=20",), ("probes=fast",), ("fidelity=released",), ("bottleneck.kl_weight=2",))
    for number, changed in enumerate(overrides):
        write_run(tmp_path / f"{number}", seed=number, overrides=changed)
    assert [len(entry.runs) for entry in entries()] == [1] * len(overrides)


def test_runs_that_were_stopped_early_are_in_no_entry(tmp_path, entries):
    write_run(tmp_path / "full", seed=0)
    stop_early(write_run(tmp_path / "stopped", seed=1), 196)
    (entry,) = entries()
    assert [run.folder for run in entry.runs] == ["full"]


def test_runs_lost_to_nan_are_counted_where_they_would_have_been(tmp_path, entries):
    write_run(tmp_path / "a", seed=0)
    fail(write_run(tmp_path / "b", seed=1))
    fail(write_run(tmp_path / "c", bottleneck="vq", seed=0))
    vae, vq = entries()
    assert ([run.seed for run in vae.runs], [run.seed for run in vae.lost]) == ([0], [1])
    assert vae.notes == ("failed and not in the mean: NonFiniteLossError (1)",)
    assert (len(vq.runs), len(vq.lost), vq.summary("clustering_nmi")) == (0, 1, None)


def test_a_collapsed_model_is_named_beside_its_mean(tmp_path, entries):
    write_run(tmp_path / "a", seed=0, probes=(0.5, 0.5, 0.5))
    write_run(tmp_path / "b", seed=1, more={"collapsed": {"perplexity": "1.0 of 128 codewords are in use"}})
    assert entries()[0].notes == ("collapsed in 1 of 2 runs: perplexity: 1.0 of 128 codewords are in use",)


def test_a_seed_counts_once_and_a_failure_that_was_mended_not_at_all(tmp_path, entries):
    write_run(tmp_path / "b/again", experiment="runs", probes=(0.9, 0.9, 0.9))
    write_run(tmp_path / "c/table", experiment="table_1", probes=(0.5, 0.5, 0.5))
    fail(write_run(tmp_path / "d/failed"))
    (entry,) = entries()
    assert [run.folder for run in entry.runs] == ["c/table"]
    assert [run.folder for run in entry.repeats] == ["b/again"]
    assert entry.lost == ()
    assert entry.notes == ("repeats of a seed under equal settings gave other numbers",)


def test_raw_data_are_one_run_whatever_their_seeds(tmp_path, entries):
    for seed in range(3):
        write_run(tmp_path / f"{seed}", bottleneck="raw", seed=seed)
    (entry,) = entries()
    assert ([run.seed for run in entry.runs], len(entry.repeats), entry.notes) == ([0], 2, ())


def test_seeds_that_change_nothing_are_named(tmp_path, entries):
    for seed in range(3):
        write_run(tmp_path / f"{seed}", seed=seed)
    assert entries()[0].notes == ("every seed gave the same numbers: the seed had no effect",)


def test_two_contents_under_one_name_are_two_entries_and_said_so(tmp_path, entries):
    for seed in range(2):
        write_run(tmp_path / f"official-{seed}", seed=seed, probes=(0.5 + 0.1 * seed, 0.5, 0.5))
    other = write_run(tmp_path / "altered", seed=2, sha256="f" * 64)
    change_provenance(other, data={"verified": False})
    official, altered = entries()
    assert (official.data, len(official.runs)) == ("mnist", 2)
    assert (altered.data, len(altered.runs)) == ("mnist, content ffffffff", 1)
    assert altered.notes == ("data: the checksum is not the published one",)


def test_neither_of_two_unknown_contents_is_the_main_one(tmp_path, entries):
    for number, sha256 in enumerate((SHA, "f" * 64)):
        change_provenance(write_run(tmp_path / f"{number}", sha256=sha256), data={"verified": None})
    assert [entry.data for entry in entries()] == [f"mnist, content {SHA[:8]}", "mnist, content ffffffff"]


def test_devices_and_commits_that_differ_are_named(tmp_path, entries):
    write_run(tmp_path / "a", seed=0, probes=(0.5, 0.5, 0.5))
    write_run(tmp_path / "b", seed=1, probes=(0.6, 0.5, 0.5))
    change_provenance(write_run(tmp_path / "c", seed=2), device="NVIDIA H100", commit="f" * 40 + "-dirty")
    (entry,) = entries()
    assert set(entry.notes) == {
        "devices: NVIDIA H100 (1), cpu (2)",
        "code: the runs have several commits",
        "code: files differed from the commit",
    }


def test_ones_own_data_stand_apart_from_the_papers(tmp_path, entries):
    write_run(tmp_path / "own", sha256="f" * 64)
    change_config(tmp_path / "own", "choices", data="arrays")
    write_run(tmp_path / "theirs")
    assert [entry.data for entry in entries()] == ["mnist", "mnist (arrays)"]
