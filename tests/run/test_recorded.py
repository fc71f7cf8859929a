"""Files of a finished run that were changed: refused in one line, whatever stands in them."""

import json
import re
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
import yaml
from cells import SMALL_MLP, run, start
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softvq.run.load import load_run
from softvq.run_folder import DamagedFileError
from softvq.seals import sealed
from softvq.training.checkpoint import read_checkpoint
from softvq.training.checkpoint_content import STEPS_TAKEN

ODD = [None, "x", "a\x1b[2Jb\nc", -1, 10**30, 1.5, [], {}, [1, 2], {"a": 1}, True]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softvq.probes.drawing.Album.add", lambda *_: None)
        run(folder, "data=digits", "bottleneck=vq", "bottleneck.K=8", *SMALL_MLP)
    return folder


def keys(node: Any, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [above] if above else []
    if isinstance(node, dict):
        found += [key for name, value in node.items() for key in keys(value, (*above, name))]
    return found


def changed(node: Any, key: tuple[str, ...], value: Any) -> Any:
    first, *rest = key
    return {**node, first: changed(node[first], tuple(rest), value) if rest else value}


def read(folder: Path) -> dict[str, Any]:
    return {
        "config.yaml": yaml.safe_load((folder / "config.yaml").read_text()),
        "metrics.json": json.loads((folder / "metrics.json").read_text()),
    }


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(draw=st.data(), value=st.sampled_from(ODD))
def test_any_value_in_any_place_is_taken_or_refused_in_a_line(draw: st.DataObject, value: Any, finished: Path) -> None:
    contents = read(finished)
    name = draw.draw(st.sampled_from(sorted(contents)))
    key = draw.draw(st.sampled_from(keys(contents[name])))
    other = finished.with_name("other")
    if not other.exists():
        copytree(finished, other)
    for file, content in contents.items():
        (other / file).write_text(json.dumps(changed(content, key, value) if file == name else content))
    try:
        load_run(other).model()
        said = ""
    except ValueError as error:
        said = str(error)
    assert re.fullmatch(r"[^\x00-\x1f]*(\n  [^\x00-\x1f]*)*", said), key


@pytest.mark.parametrize(
    ("key", "value"), [("probes.clustering_accuracy", 0.99), ("diagnostics.perplexity", 7.5), ("parameters", 1)]
)
def test_numbers_that_are_not_those_that_were_written_are_refused(
    key: str, value: Any, finished: Path, tmp_path: Path
) -> None:
    copytree(finished, tmp_path / "run")
    metrics = changed(read(finished)["metrics.json"], tuple(key.split(".")), value)
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(DamagedFileError, match="their checksum does not match"):
        load_run(tmp_path / "run")
    outcome = start(tmp_path / "run", "data=digits", "bottleneck=vq", "bottleneck.K=8", *SMALL_MLP)
    assert (outcome.status, "their checksum does not match" in outcome.message) == ("failed", True)
    assert not (tmp_path / "run" / "failure.json").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", 1, "seed is 1, config.yaml has 0"),
        ("steps", 400, "steps is 400, config.yaml has 4"),
        ("status", "running", "its status is 'running'"),
        ("bottleneck", "soft_vq", "bottleneck is 'soft_vq', config.yaml has 'vq'"),
        ("data", "mnist", "data is 'mnist', config.yaml has 'digits'"),
        ("fidelity", "released", "fidelity is 'released', config.yaml has 'paper'"),
        ("protocol.clustering.n_init", 77, "protocol.clustering is "),
        ("provenance.data.sha256", "0" * 64, "provenance.data.sha256 is '000"),
        ("reconstruction.test_mse", -1.0, "reconstruction.test_mse is -1.0"),
    ],
)
def test_results_that_are_not_what_the_settings_say_are_refused_though_their_checksum_matches(
    key: str, value: Any, message: str, finished: Path, tmp_path: Path
) -> None:
    copytree(finished, tmp_path / "run")
    metrics = sealed(changed(read(finished)["metrics.json"], tuple(key.split(".")), value))
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(DamagedFileError, match=re.escape(message)):
        load_run(tmp_path / "run")


def test_weights_of_another_step_than_the_results_are_refused(finished: Path, tmp_path: Path) -> None:
    copytree(finished, tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = read_checkpoint(last)
    content["loops"]["fit_loop"][STEPS_TAKEN[1]]["total"]["completed"] = 3
    torch.save({**content, "global_step": 3, "run": {**content["run"], "step": 3}}, last)
    with pytest.raises(DamagedFileError, match="it is of step 3, the results are of step 4"):
        load_run(tmp_path / "run").model()
    last.unlink()
    with pytest.raises(DamagedFileError, match=r"last\.ckpt is damaged or no run's: it is missing"):
        load_run(tmp_path / "run").model()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.pixel_offset", -0.5),
        ("optimizer.lr", 0.1),
        ("penalty_weight", 2.0),
        ("network.encoder.hidden", [16, 16]),
        ("bottleneck.K", 9),
        ("seed", 1),
    ],
)
def test_settings_that_are_not_those_of_the_results_are_refused(
    key: str, value: Any, finished: Path, tmp_path: Path
) -> None:
    copytree(finished, tmp_path / "run")
    config = changed(read(finished)["config.yaml"], tuple(key.split(".")), value)
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(DamagedFileError, match=rf"its settings are not those of the results: {re.escape(key)}: "):
        load_run(tmp_path / "run")
