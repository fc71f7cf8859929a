"""One's own configurations beside the shipped ones."""

from pathlib import Path

import numpy as np
import pytest

from softvq.config.compose import CONF_DIR, compose, current_conf, own_folders, without_hydra
from softvq.config.errors import faults
from softvq.run.cell import Cell, read_cell


def cell(own: Path, *overrides: str) -> Cell:
    composed = compose("train", overrides, [own], return_hydra_config=True)
    config = without_hydra(composed)
    return read_cell(config, composed.hydra, "run", None)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    conf = tmp_path / "conf"
    (conf / "bottleneck").mkdir(parents=True)
    (conf / "bottleneck" / "half.yaml").write_text("_target_: half.Half\nd: ${network.d}\n")
    return conf


@pytest.fixture
def arrays(tmp_path: Path) -> tuple[str, str]:
    for part in ("train", "test"):
        np.save(tmp_path / f"{part}_images.npy", np.zeros((20, 16, 16, 3), np.uint8))
        np.save(tmp_path / f"{part}_labels.npy", np.arange(20) % 2)
    return "data=arrays", f"data.dir={tmp_path}"


def test_they_survive_the_second_composition_for_the_network_of_ones_own_data(own, arrays):
    found = cell(own, *arrays, "bottleneck=half")
    assert found.choices["network"] == "conv"
    assert found.config.bottleneck == {"_target_": "half.Half", "d": 256}


def test_relative_paths_start_where_the_program_was_called(own, tmp_path, monkeypatch):
    composed = compose("train", ["data=digits", "data.root=images"], return_hydra_config=True)
    config = without_hydra(composed)
    here = Path.cwd()
    monkeypatch.chdir(tmp_path)  # as hydra.job.chdir=true does
    assert read_cell(config, composed.hydra, "run", None).config.data.root == str(here / "images")


def test_a_choice_under_a_shipped_name_is_refused_unless_it_is_the_same(own):
    (own / "bottleneck" / "vq.yaml").write_text("_target_: half.Half\nd: ${network.d}\n")
    with pytest.raises(ValueError, match=r"bottleneck=vq: .*/vq\.yaml is not read, as softvq has a choice"):
        cell(own, "bottleneck=vq")
    cell(own, "bottleneck=vae")  # which has no file of one's own
    (own / "bottleneck" / "vq.yaml").write_bytes((CONF_DIR / "bottleneck" / "vq.yaml").read_bytes())
    assert cell(own, "bottleneck=vq").choices["bottleneck"] == "vq"


def test_they_are_named_among_the_choices(own):
    (found,) = faults(["bottleneck=hlaf"], own=[own])
    assert "did you mean half? There are " in found


def test_the_current_folders_are_found_but_not_the_checkouts_own(own, monkeypatch):
    monkeypatch.chdir(own.parent)
    assert current_conf() == [own]
    composed = compose("train", ["bottleneck=half"], return_hydra_config=True)
    assert own_folders(composed.hydra) == [own]
    monkeypatch.chdir(CONF_DIR.parent)
    assert current_conf() == []
