"""Cells that are trained at once: their folders are those of runs alone, and each lives and fails by itself."""

import csv
import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import QUICK, make_cell, results, without_figures
from omegaconf import DictConfig, OmegaConf

from softvq.config.compose import compose, without_hydra
from softvq.config.identity import config_hash, result_settings
from softvq.run.build import build_model
from softvq.run.cell import Outcome, read_cell
from softvq.run.complete import complete
from softvq.run_folder import RunFolder
from softvq.training.autoencoder import Autoencoder
from softvq.training.checkpoint import Generations, read_checkpoint

SEEDS = (0, 1, 2)
CELL = (
    "data=digits", "bottleneck=soft_vq", "network.encoder.hidden=[32]", "network.decoder.hidden=[32]",
    "trainer.max_steps=12", "trainer.log_every_n_steps=5",
)  # fmt: skip
OFTEN = ("trainer.checkpoint_after_s=0", "trainer.checkpoint_every_s=0", "trainer.checkpoint_time_fraction=0")


@pytest.fixture(autouse=True)
def a_step_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softvq.data.chunks.MAX_CHUNK_STEPS", 1)


def together(folder: Path, *overrides: str, seeds: Sequence[int] = SEEDS) -> list[Outcome]:
    cells = [make_cell(folder / f"seed-{seed}", *CELL, *overrides, f"seed={seed}") for seed in seeds]
    with without_figures():
        return complete(cells)


def in_turns(folder: Path, *overrides: str) -> None:
    for seed in SEEDS:
        (outcome,) = together(folder, *overrides, seeds=[seed])
        assert outcome.status == "finished", outcome.message


def runs_of(folder: Path) -> list[RunFolder]:
    return [RunFolder(folder / f"seed-{seed}") for seed in SEEDS]


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(run.metrics.read_text()) for run in runs_of(folder)]


def curve(run: RunFolder) -> list[dict[str, float]]:
    with run.curve.open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def check_alike(ours: Path, theirs: Path) -> None:
    """Compares results within the rounding of batched products."""
    for mine, other in zip(metrics_of(ours), metrics_of(theirs), strict=True):
        assert mine["config_hash"] == other["config_hash"]
        assert mine["reconstruction"] == pytest.approx(other["reconstruction"], rel=1e-4)
        assert mine["probes"] == pytest.approx(other["probes"], abs=0.01)
    for run, other in zip(runs_of(ours), runs_of(theirs), strict=True):
        rows, expected = curve(run), curve(other)
        assert len(rows) == 3
        for row, wanted in zip(rows, expected, strict=True):
            assert row == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def check_equal(ours: Path, theirs: Path) -> None:
    """Compares results, curves and weights to the last bit."""
    assert [results(mine) for mine in metrics_of(ours)] == [results(other) for other in metrics_of(theirs)]
    for run, other in zip(runs_of(ours), runs_of(theirs), strict=True):
        assert run.curve.read_bytes() == other.curve.read_bytes()
        weights = [read_checkpoint(folder.checkpoint)["state_dict"] for folder in (run, other)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds trained at once, unbroken."""
    folder = tmp_path_factory.mktemp("whole")
    outcomes = together(folder, *OFTEN)
    assert [outcome.status for outcome in outcomes] == ["finished"] * 3
    return folder


@pytest.mark.slow
def test_their_folders_are_those_of_runs_alone_and_each_skips_the_others(whole: Path, tmp_path: Path) -> None:
    in_turns(tmp_path, *OFTEN)
    check_alike(whole, tmp_path)
    assert [metrics["provenance"]["seeds_at_once"] for metrics in metrics_of(whole)] == [3, 3, 3]
    names = [sorted(str(file.relative_to(folder)) for file in folder.rglob("*")) for folder in (whole, tmp_path)]
    assert names[0] == names[1]
    assert [outcome.status for outcome in together(tmp_path)] == ["skipped"] * 3
    assert together(whole, seeds=[1])[0].status == "skipped"


def kill_at_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Ends the process, as it were, before the checkpoint of that number, counted over all members from 1."""
    write, written = Generations.write, []

    def counted(self: Generations, content: dict[str, Any]) -> None:
        written.append(self.last)
        if len(written) == number:
            raise KeyboardInterrupt
        write(self, content)

    monkeypatch.setattr(Generations, "write", counted)


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [2, 15, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 14, 16, 36))]
)
def test_a_group_killed_between_its_members_checkpoints_ends_as_an_unbroken_one(
    number: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at_write(patch, number)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            together(tmp_path, *OFTEN)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning switches it off
    steps = [
        read_checkpoint(run.checkpoint)["global_step"] if run.checkpoint.exists() else -1 for run in runs_of(tmp_path)
    ]
    assert len(set(steps)) == (1 if number % 3 == 1 else 2)
    assert [outcome.status for outcome in together(tmp_path, *OFTEN)] == ["finished"] * 3
    if number > 3:
        logs = [run.log.read_text() for run in runs_of(tmp_path)]
        assert all(f"from step {min(steps)}" in log for log in logs)
        assert [metrics["provenance"]["seeds_at_once"] for metrics in metrics_of(tmp_path)] == [3, 3, 3]
        check_equal(tmp_path, whole)
    else:
        check_alike(tmp_path, whole)


@pytest.mark.slow
def test_a_member_of_a_killed_group_goes_on_alone_and_the_others_without_it(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at_write(patch, 19)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            together(tmp_path, *OFTEN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert together(tmp_path, *OFTEN, seeds=[1])[0].status == "finished"
    assert "from step 5" in runs_of(tmp_path)[1].log.read_text()
    assert [outcome.status for outcome in together(tmp_path, *OFTEN)] == ["finished", "skipped", "finished"]
    assert [metrics["provenance"]["seeds_at_once"] for metrics in metrics_of(tmp_path)] == [2, 1, 2]
    check_alike(tmp_path, whole)


@pytest.mark.slow
def test_members_without_a_step_in_common_go_on_in_turns(whole: Path, tmp_path: Path) -> None:
    together(tmp_path, *OFTEN)
    for run in runs_of(tmp_path):
        run.metrics.unlink()  # as if each had been killed before its probes,
    for checkpoint in runs_of(tmp_path)[0].checkpoints.glob("*.ckpt"):
        checkpoint.unlink()  # and one had lost its checkpoints
    assert [outcome.status for outcome in together(tmp_path, *OFTEN)] == ["finished"] * 3
    assert [metrics["provenance"]["seeds_at_once"] for metrics in metrics_of(tmp_path)] == [1, 2, 2]
    check_alike(tmp_path, whole)


@pytest.mark.slow
def test_a_damaged_member_is_refused_alone(tmp_path: Path) -> None:
    together(tmp_path, *OFTEN)
    for run in runs_of(tmp_path):
        run.metrics.unlink()
    for checkpoint in runs_of(tmp_path)[2].checkpoints.glob("*.ckpt"):
        checkpoint.write_bytes(b"garbage")
    outcomes = together(tmp_path, *OFTEN)
    assert [outcome.status for outcome in outcomes] == ["finished", "finished", "failed"]
    assert "last.ckpt is damaged" in outcomes[2].message


@pytest.mark.slow
@pytest.mark.parametrize("spoiled", [[1], [0, 1, 2]])
def test_a_diverging_seed_fails_alone(
    spoiled: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path
) -> None:
    def spoils(config: DictConfig, *arguments: Any) -> Autoencoder:
        model = build_model(config, *arguments)
        if config.seed in spoiled:
            with torch.no_grad():
                model.get_parameter("decoder.output.0.bias").fill_(torch.nan)
        return model

    with monkeypatch.context() as patch:
        patch.setattr("softvq.run.train.build_model", spoils)
        outcomes = together(tmp_path, *OFTEN)
    assert [outcome.status for outcome in outcomes] == ["failed" if s in spoiled else "finished" for s in SEEDS]
    for seed, run in zip(SEEDS, runs_of(tmp_path), strict=True):
        log = run.log.read_text()
        assert run.failure.exists() == (seed in spoiled)
        assert ("is nan at step 1" in log) == (seed in spoiled)
        if seed in spoiled:
            told = json.loads(run.failure.read_text())
            assert (told["error"], told["step"]) == ("NonFiniteLossError", 1)
            assert not run.metrics.exists()
    assert [outcome.status for outcome in together(tmp_path, *OFTEN)] == [
        "finished" if seed in spoiled else "skipped" for seed in SEEDS
    ]
    check_alike(tmp_path, whole)


# --- settings


def test_how_many_are_trained_at_once_is_part_of_no_result(compose_train: Callable[..., DictConfig]) -> None:
    hashes = set()
    for S in (1, 4):
        config = compose_train("data=digits", f"trainer.seeds_per_process={S}")
        config.data.pixel_offset, config.trainer.threads = 0.0, 1
        settings: Any = OmegaConf.to_container(config, resolve=True)
        hashes.add(config_hash(result_settings(settings, "content")))
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("overrides", "in_sweep", "message"),
    [
        (("trainer.seeds_per_process=4",), False, r"trainer\.seeds_per_process=4 is .*\n.*add -m and several seeds"),
        (("trainer.seeds_per_process=4", "trainer.devices=2"), True, r"set trainer\.devices=1 in place of 2"),
        (
            ("trainer.seeds_per_process=4", "trainer.precision=16-mixed"),
            True,
            r"set trainer\.precision=bf16-mixed or 32-true: 16-mixed ",
        ),
        (
            ("trainer.seeds_per_process=4", "optimizer._target_=torch.optim.LBFGS"),
            True,
            r"set optimizer\._target_ to one of .*torch\.optim\.Adam,.*: torch\.optim\.LBFGS may look across seeds",
        ),
        (
            (
                "trainer.seeds_per_process=4",
                "+trainer.callbacks.odd._target_=lightning.pytorch.callbacks.Timer",
            ),
            True,
            r"drop trainer\.callbacks=\['odd'\], which expect a single model",
        ),
    ],
)
def test_what_cannot_be_trained_at_once_is_refused_with_the_way_out(
    overrides: tuple[str, ...], in_sweep: bool, message: str, tmp_path: Path
) -> None:
    composed = compose("train", [*QUICK, "data=digits", *overrides], return_hydra_config=True)
    config = without_hydra(composed)
    with pytest.raises(ValueError, match=message):
        read_cell(config, composed.hydra, tmp_path, composed.hydra.launcher if in_sweep else None)
