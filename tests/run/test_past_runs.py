"""Run folders from before checkpoints recorded what they are are still resumed, evaluated and reported.

`before/finished` and `before/killed` were written by the version of that time: the same small cell, once to its end
after 60 steps and once killed at step 7, in the middle of a row of its curve.
"""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cells import evaluate, start

from softvq.run_folder import RunFolder
from softvq.training.checkpoint import read_checkpoint

CELL = (
    "data=digits", "bottleneck=soft_vq", "bottleneck.K=8", "network.d=4", "network.encoder.hidden=[8]",
    "network.decoder.hidden=[8]", "data.batch_size=16",
    "bottleneck.codebook_weight=18.375", "bottleneck.commitment_weight=45.9375",  # the defaults of that time
    "trainer.max_steps=60", "trainer.log_every_n_steps=20",
)  # fmt: skip


@pytest.fixture
def before(tmp_path: Path) -> Path:
    shutil.copytree(Path(__file__).parent / "before", tmp_path, dirs_exist_ok=True)
    return tmp_path


def curve(folder: RunFolder) -> list[dict[str, str]]:
    with folder.curve.open() as file:
        return list(csv.DictReader(file))


def numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """What the model comes to; the probes have been written anew since."""
    return {"steps": metrics["steps"], **metrics["reconstruction"]}


def test_the_old_checkpoint_is_of_the_first_format(before: Path) -> None:
    old = read_checkpoint(RunFolder(before / "killed").checkpoint)
    assert "run" not in old
    assert (old["global_step"], old["curve"][1]) == (7, 7)


def test_a_finished_one_is_skipped(before: Path) -> None:
    outcome = start(before / "finished", *CELL)
    assert outcome.status == "skipped", outcome.message


def test_a_killed_one_ends_with_the_numbers_of_the_finished_one(before: Path) -> None:
    outcome = start(before / "killed", *CELL)
    assert outcome.status == "finished", outcome.message
    killed, finished = RunFolder(before / "killed"), RunFolder(before / "finished")
    assert "from step 7" in killed.log.read_text()
    assert numbers(json.loads(killed.metrics.read_text())) == pytest.approx(
        numbers(json.loads(finished.metrics.read_text())), rel=1e-5
    )
    rows, expected = curve(killed), curve(finished)
    assert [row["step"] for row in rows] == ["20", "40", "60"]
    for name in ("loss", "reconstruction_loss", "codebook_loss", "commitment_loss", "log_var"):
        for row, old in zip(rows, expected, strict=True):
            assert float(row[f"train/{name}"]) == pytest.approx(float(old[f"train/{name}"]), rel=1e-5)
    weights = [read_checkpoint(folder.checkpoint)["state_dict"] for folder in (killed, finished)]
    for name, value in weights[1].items():
        assert weights[0][name].allclose(value, rtol=1e-4, atol=1e-6), name


def test_a_new_run_of_it_is_the_old_one(before: Path) -> None:
    outcome = start(before / "anew", *CELL)
    assert outcome.status == "finished", outcome.message
    new, old = (json.loads((before / name / "metrics.json").read_text()) for name in ("anew", "finished"))
    assert numbers(new) == pytest.approx(numbers(old), rel=1e-5)
    assert new["config_hash"] == old["config_hash"]


def test_it_is_evaluated(before: Path, tmp_path: Path) -> None:
    old = json.loads((before / "finished" / "metrics.json").read_text())
    found = evaluate(before / "finished", f"data.root={tmp_path / 'data'}")
    assert found["reconstruction"] == pytest.approx(old["reconstruction"], rel=1e-5)
    assert found["config_hash"] == old["config_hash"]
