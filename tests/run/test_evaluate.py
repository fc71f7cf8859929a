"""A finished run is probed again: with its own numbers, at another tap, from another folder, in its precision."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cells import QUICK, ROOT, SMALL_MLP, evaluate, run
from image_files import write_arrays

from softvq.run_folder import DamagedFileError
from softvq.seals import is_whole


@pytest.mark.parametrize(
    "precision",
    ["64-true", "bf16-mixed", *(pytest.param(p, marks=pytest.mark.slow) for p in ("32-true", "bf16-true", "16-true"))],
)
def test_a_run_in_each_precision_is_evaluated_to_its_own_numbers(precision: str, tmp_path: Path) -> None:
    metrics = run(tmp_path, "data=digits", "bottleneck=soft_vq", *SMALL_MLP, f"trainer.precision={precision}")
    assert 0 < metrics["reconstruction"]["test_mse"] < 1
    found = evaluate(tmp_path)
    assert {key: found[key] for key in ("probes", "reconstruction", "diagnostics")} == {
        key: metrics[key] for key in ("probes", "reconstruction", "diagnostics")
    }


def test_a_finished_run_can_be_probed_again_at_another_tap(tmp_path: Path) -> None:
    first = run(tmp_path, "data=digits", "bottleneck=soft_vq", *SMALL_MLP)
    quantized = evaluate(tmp_path, "probes.tap=z_q")
    assert quantized["probes"] != first["probes"]
    assert (tmp_path / "evaluations" / "fast-z_q-digits.json").exists()
    with pytest.raises(ValueError, match=r"probes\.tap is 'nothing'"):
        evaluate(tmp_path, "probes.tap=nothing")


@pytest.mark.slow
def test_another_evaluation_never_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    """Of other settings, of another run in the same folder, of what is no evaluation; the same one is made again."""
    for seed in (0, 1):
        run(tmp_path / f"{seed}", "data=digits", "bottleneck=identity", f"seed={seed}", *SMALL_MLP)
    out = tmp_path / "out"
    out.mkdir()
    (out / "fast-z_e-digits-seed-5.json").write_text("[]")
    expected = []
    for number, settings in enumerate(
        [
            (),
            ("probes.train_limit=100",),
            ("probes.clustering.n_init=3",),
            ("probes.seed=5",),
            ("probes.tsne_points=9",),
        ]
    ):
        for seed in (0, 1):
            expected.append(evaluate(tmp_path / f"{seed}", f"out={out}", *settings)["probes"])
            if number != 4:  # no setting that decides a number
                assert len(list(out.glob("*.json"))) == len(expected) + 1
    names = sorted(path.name for path in out.glob("*.json"))
    assert len(names) == 9
    assert names.count("fast-z_e-digits.json") == 1
    assert (out / "fast-z_e-digits-seed-5.json").read_text() == "[]"
    kept = [json.loads((out / name).read_text()) for name in names if "seed-5.json" not in name]
    assert len({(found["config_hash"], json.dumps(found["protocol"])) for found in kept}) == 8
    assert all(is_whole(found) and found["probes"] in expected for found in kept)


def test_a_checkpoint_that_is_not_the_runs_last_one_is_not_evaluated(tmp_path: Path) -> None:
    run(tmp_path / "a", "data=digits", "bottleneck=identity", *SMALL_MLP)
    run(tmp_path / "b", "data=digits", "bottleneck=identity", "seed=1", *SMALL_MLP)
    last = tmp_path / "a" / "checkpoints" / "last.ckpt"
    whole = last.read_bytes()
    last.write_bytes((tmp_path / "b" / "checkpoints" / "last.ckpt").read_bytes())
    with pytest.raises(ValueError, match="is of another run"):
        evaluate(tmp_path / "a")
    last.with_name("previous.ckpt").write_bytes(whole)
    last.write_bytes(whole[:1000])
    with pytest.raises(DamagedFileError, match=r"last\.ckpt is damaged"):
        evaluate(tmp_path / "a")


@pytest.mark.slow
@pytest.mark.process
def test_a_run_on_data_of_a_relative_folder_is_evaluated_from_any_other(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    write_arrays(tmp_path / "here" / "own")
    here, there = tmp_path / "here", tmp_path
    command = [*QUICK, *SMALL_MLP, "network=mlp", "data=arrays", "data.dir=own", "data.root=data", "hydra.run.dir=run"]
    for folder, arguments in (
        (here, ["train.py", *command]),
        (there, ["evaluate.py", "run=here/run", "probes=fast", "probes.clustering.n_init=2", "trainer.progress=false"]),
    ):
        program = [sys.executable, str(ROOT / arguments[0]), *arguments[1:]]
        done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (here / "run" / "evaluations" / "fast-z_e-arrays.json").exists()
    assert sorted(path.name for path in here.iterdir()) == ["data", "own", "run"]
