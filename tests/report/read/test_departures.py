"""What sets a run apart from the default of its choices."""

import pytest
import yaml
from image_files import write_arrays
from report_runs import change_config, change_json, write_run, write_yaml

from softvq.config.identity import config_hash
from softvq.report.read.collection import collect
from softvq.report.read.departures import DefaultSettings
from softvq.report.read.run import Departures
from softvq.report.read.run_files import read_run


@pytest.mark.parametrize(
    ("bottleneck", "override", "shared", "own"),
    [
        ("vae", "penalty_weight=1", (), ()),
        ("vae", "trainer.max_steps=20", (("trainer.max_steps", "20", "40000"),), ()),
        ("vae", "network.d=60", (("network.d", "60", "64"),), ()),
        ("vae", "trainer=smoke", (("trainer", "smoke", "default"),), ()),
        ("vae", "fidelity=released", (), ()),
        ("vae", "probes=fast", (), ()),
        ("vq", "bottleneck.K=512", (), (("bottleneck.K", "512", "128"),)),
    ],
)
def test_a_departure_is_named_once_and_by_its_cause(tmp_path, defaults, bottleneck, override, shared, own):
    run = read_run(write_run(tmp_path, bottleneck=bottleneck, overrides=(override,)), "run")
    found = defaults.departures(run)
    assert found.shared[: len(shared)] == shared
    assert {key for key, *_ in found.shared} <= {key for key, *_ in shared} | {"bottleneck.codebook_weight"}
    assert found.own == own


def test_a_setting_younger_than_the_run_is_unrecorded_not_a_departure(tmp_path, defaults):
    folder = write_run(tmp_path / "old")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["result_settings"]["optimizer"]["fused"]
    write_yaml(folder / "config.yaml", config)
    change_json(folder / "metrics.json", config_hash=config_hash(config["result_settings"]))
    assert defaults.departures(read_run(folder, "old")) == Departures(unrecorded=("optimizer.fused",))


def test_choices_that_nothing_composes_have_no_known_default(tmp_path, defaults):
    folder = write_run(tmp_path / "run")
    change_config(folder, "choices", bottleneck="mine")
    change_json(folder / "metrics.json", bottleneck="mine")
    assert not defaults.departures(read_run(folder, "run")).known


def test_ones_own_configurations_are_composed_too(tmp_path):
    (tmp_path / "conf" / "bottleneck").mkdir(parents=True)
    (tmp_path / "conf" / "bottleneck" / "mine.yaml").write_text(
        "_target_: softvq.bottlenecks.vae.GaussianPosterior\nd: ${network.d}\nkl_weight: 2.0\nreduction: sum\n"
    )
    folder = write_run(tmp_path / "run")
    change_config(folder, "choices", bottleneck="mine")
    change_json(folder / "metrics.json", bottleneck="mine")
    found = DefaultSettings([tmp_path / "conf"]).departures(read_run(folder, "run"))
    assert [key for key, *_ in found.own] == ["bottleneck.kl_weight"]
    with pytest.raises(FileNotFoundError, match="no folder of configurations at"):
        DefaultSettings([tmp_path / "nowhere"])


def test_ones_own_data_have_no_default_to_depart_from(tmp_path, defaults):
    write_arrays(tmp_path / "own", shape=(32, 32, 3))
    for bottleneck in ("raw", "identity"):
        write_run(tmp_path / "runs" / bottleneck, "arrays", bottleneck, overrides=(f"data.dir={tmp_path / 'own'}",))
    assert [defaults.departures(run) for run in collect([tmp_path / "runs"]).runs] == [Departures(), Departures()]
