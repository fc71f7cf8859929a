"""An experiment as it was run: its rows, the settings that it varied, its best rows and its curves."""

import pytest
from report_runs import change_config, change_json, write_run, write_table

from softvq.report.judge.experiments import make_experiments, value_of
from softvq.report.read.collection import collect


@pytest.fixture
def experiments(tmp_path, defaults):
    """The experiments of what lies in the test's folder, by name."""

    def make():
        return {found.name: found for found in make_experiments(collect([tmp_path]).runs, defaults)}

    return make


def test_a_grid_of_two_settings_shows_both_and_a_row_for_each_combination(tmp_path, experiments):
    for k in (8, 16):
        for d in (16, 32):
            for seed in range(2):
                changed = (f"bottleneck.K={k}", f"network.d={d}", "trainer.max_steps=60", "probes=fast")
                write_run(tmp_path / f"{k}-{d}-{seed}", "digits", "soft_vq", seed, overrides=changed, experiment="runs")
    found = experiments()["runs"]
    assert found.keys == ("bottleneck.K", "network.d")
    assert [tuple(value_of(entry, key) for key in found.keys) for entry in found.entries] == [
        (8, 16),
        (8, 32),
        (16, 16),
        (16, 32),
    ]  # by the columns from the left, numbers by their size, as in the closing table of a sweep
    assert [found.heading(key) for key in found.keys] == ["K", "d"]
    assert found.title(found.entries[0]) == "Soft VQ-VAE, K = 8, d = 16"
    assert found.common == (("trainer.max_steps", "60", "40000"),)
    lines = {key: {title: len(points) for title, points in lines.items()} for key, lines in found.curves()}
    assert lines == {
        "bottleneck.K": {"Soft VQ-VAE, d = 16": 2, "Soft VQ-VAE, d = 32": 2},
        "network.d": {"Soft VQ-VAE, K = 8": 2, "Soft VQ-VAE, K = 16": 2},
    }


def test_a_curves_lines_are_named_by_what_tells_them_apart(tmp_path, experiments):
    """Not by what other rows of the experiment varied, nor by more of a setting's key than it takes."""
    for k in (8, 16):
        write_run(tmp_path / f"{k}", "digits", "vq", overrides=(f"bottleneck.K={k}",), experiment="runs")
    wide = ("network.encoder.hidden=[8]", "network.decoder.hidden=[9]", "optimizer.lr=0.1")
    write_run(tmp_path / "wide", "digits", "vq", overrides=wide, experiment="runs")
    found = experiments()["runs"]
    assert {found.heading(key) for key in found.keys} == {"K", "encoder.hidden", "decoder.hidden", "lr"}
    assert [(key, list(lines)) for key, lines in found.curves()] == [("bottleneck.K", ["VQ-VAE"])]


def test_the_default_of_a_swept_setting_shows_its_value_too(tmp_path, experiments):
    for k in (128, 512, 16):
        write_run(tmp_path / f"{k}", bottleneck="vq", overrides=(f"bottleneck.K={k}",), experiment="k_sweep")
    found = experiments()["k_sweep"]
    assert [value_of(entry, "bottleneck.K") for entry in found.entries] == [16, 128, 512]


def test_raw_and_untrained_stand_beside_models_of_other_steps(tmp_path, experiments):
    rows = ["raw", "untrained", "vae"]
    write_table(tmp_path, "digits", [0], rows, overrides=("trainer.max_steps=60", "probes=fast"))
    found = experiments()["table_1"]
    assert [entry.bottleneck for entry in found.entries] == rows
    assert found.keys == ()
    assert found.common == (("trainer.max_steps", "60", "40000"),)
    assert not found.is_the_papers


def test_fidelity_and_protocol_are_columns_where_they_vary(tmp_path, experiments):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", overrides=("fidelity=released",))
    write_run(tmp_path / "c", overrides=("probes=fast",))
    assert experiments()["table_1"].keys[:2] == ("fidelity", "protocol")


def test_a_row_by_the_papers_text_needs_no_word_on_it(tmp_path, experiments):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", overrides=("fidelity=released",))
    found = experiments()["table_1"]
    by_text, by_code = map(found.title, found.entries)
    assert by_text == "VAE"
    assert by_code.startswith("VAE, fidelity = released")


def test_settings_whose_defaults_are_unknown_show_what_varies_once(tmp_path, experiments):
    for d in (16, 32):
        folder = write_run(tmp_path / f"{d}", overrides=(f"network.d={d}",))
        change_config(folder, "choices", bottleneck="mine")
        change_json(folder / "metrics.json", bottleneck="mine")
    found = experiments()["table_1"]
    assert found.keys == ("network.d",)
    assert "its defaults are not known: conf/ cannot compose these choices" in found.entries[0].notes


def test_the_best_rows_are_the_largest_probes_and_the_smallest_error(tmp_path, experiments):
    for model, (accuracy, mse) in {"vae": (0.6, 0.3), "vq": (0.7, 0.4), "identity": (0.5, 0.1)}.items():
        write_run(tmp_path / model, bottleneck=model, probes=(accuracy, 0.5, 0.5), mse=mse)
    found = experiments()["table_1"]
    (one, *_) = found.entries
    assert [entry.bottleneck for entry in found.best(one, "clustering_accuracy")] == ["vq"]
    assert [entry.bottleneck for entry in found.best(one, "test_normalized_mse")] == ["identity"]
    assert len(found.best(one, "clustering_nmi")) == 3


def test_rows_of_another_protocol_are_not_what_a_row_is_the_best_of(tmp_path, experiments):
    for model, protocol, accuracy in (("vae", "paper", 0.5), ("vq", "paper", 0.4), ("identity", "berthelot", 0.9)):
        write_run(tmp_path / model, bottleneck=model, probes=(accuracy, 0.5, 0.5), overrides=(f"probes={protocol}",))
    found = experiments()["table_1"]
    best = {entry.bottleneck: found.best(entry, "clustering_accuracy") for entry in found.entries}
    assert [entry.bottleneck for entry in best["vq"]] == ["vae"]
    assert best["identity"] == []


def test_a_single_row_is_not_the_best_of_anything(tmp_path, experiments):
    write_run(tmp_path / "only")
    (entry,) = (found := experiments()["table_1"]).entries
    assert found.best(entry, "clustering_nmi") == []


def test_the_papers_tables_come_first(tmp_path, experiments):
    for name in ("k_sweep", "figure_4", "table_2", "a_sweep", "table_1"):
        write_run(tmp_path / name, experiment=name)
    assert list(experiments()) == ["table_1", "table_2", "figure_4", "a_sweep", "k_sweep"]
