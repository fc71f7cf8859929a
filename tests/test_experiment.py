"""Whole cells: every row on every source, resuming, repeating, refusing, probing again."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from image_files import write_arrays, write_cifar10, write_idx_set, write_pictures, write_svhn
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from omegaconf import OmegaConf

from softvq.cell import ConfigError, build_data
from softvq.checkpoint import ResumeCheckpoint, read_checkpoint
from softvq.config import CONF_DIR, built_network
from softvq.data.source import DataError
from softvq.devices import check_accelerator
from softvq.evaluation import evaluate_run
from softvq.experiment import Cell, ChangedConfigError, complete, read_cell
from softvq.runs import DamagedFileError, RunFolder
from softvq.tracking.curve import CurveLogger
from softvq.training import NonFiniteLossError

ROOT = Path(__file__).parents[1]
ROWS = ("raw", "untrained", "identity", "vae", "beta_vae", "info_dropout", "vq", "soft_vq")
SMALL_MLP = ("network.encoder.hidden=[16]", "network.decoder.hidden=[16]")
SMALL_CONV = ("network.encoder.channels=[4,4,4,8]", "network.decoder.channels=[8,4,4]")
QUICK = (
    "probes=fast",
    "probes.clustering.n_init=2",
    "probes.tsne_points=20",
    "trainer.max_steps=4",
    "trainer.log_every_n_steps=2",
    "trainer.threads=1",
    "trainer.progress=false",
    "trainer.accelerator=cpu",
)


def make_cell(folder: Path, *overrides: str) -> Cell:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        composed = compose("train", [*QUICK, f"hydra.run.dir={folder}", *overrides], return_hydra_config=True)
    hydra = composed.hydra
    OmegaConf.update(hydra, "overrides.task", [*QUICK, *overrides], force_add=True)
    config = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    return read_cell(config, hydra, folder, None)


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    assert complete(make_cell(folder, *overrides)).status == "finished"
    return json.loads(RunFolder(folder).metrics.read_text())


def results(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key not in ("time", "provenance")}


@pytest.mark.parametrize("bottleneck", ROWS)
def test_every_row_runs_on_digits_through_to_its_metrics(bottleneck: str, tmp_path: Path) -> None:
    metrics = run(tmp_path, "data=digits", f"bottleneck={bottleneck}", *(SMALL_MLP if bottleneck != "raw" else ()))
    floor = bottleneck in ("raw", "untrained")
    assert metrics["status"] == "finished"
    assert metrics["bottleneck"] == bottleneck
    assert metrics["steps"] == (0 if floor else 4)
    assert (metrics["reconstruction"] is None) == floor
    assert all(0 <= value <= 1 for value in metrics["probes"].values())
    assert (tmp_path / "figures" / "tsne.png").exists()
    assert (tmp_path / "figures" / "reconstructions.png").exists() == (not floor)
    assert (tmp_path / "figures" / "codebook_use.png").exists() == (bottleneck in ("vq", "soft_vq"))


def write_gray(root: Path) -> tuple[str, ...]:
    write_arrays(root / "own", shape=(12, 10))
    return ("data=arrays", f"data.dir={root / 'own'}", "data.name=own")


def write_colour(root: Path) -> tuple[str, ...]:
    write_arrays(root / "own", shape=(16, 16, 3))
    return ("data=arrays", f"data.dir={root / 'own'}")


def write_tiny_colour(root: Path) -> tuple[str, ...]:
    write_arrays(root / "own", shape=(8, 8, 3))
    return ("data=arrays", f"data.dir={root / 'own'}")


def write_folder(root: Path) -> tuple[str, ...]:
    write_pictures(root / "own", shape=(20, 17, 3))
    return ("data=image_folder", f"data.dir={root / 'own'}", "network=conv", *SMALL_CONV)


def write_mnist(root: Path) -> tuple[str, ...]:
    write_idx_set(root / "MNIST" / "raw")
    return ("data=mnist", "data.verify=false", *SMALL_MLP)


def write_fashion(root: Path) -> tuple[str, ...]:
    write_idx_set(root / "FashionMNIST" / "raw")
    return ("data=fashion_mnist", "data.verify=false", *SMALL_MLP)


def write_house_numbers(root: Path) -> tuple[str, ...]:
    write_svhn(root)
    return ("data=svhn", "data.verify=false", *SMALL_CONV)


def write_objects(root: Path) -> tuple[str, ...]:
    write_cifar10(root)
    return ("data=cifar10", "data.verify=false", *SMALL_CONV)


@pytest.mark.parametrize(
    ("shape", "network", "K"),
    [
        ((28, 28), "mlp", 128),
        ((28, 29), "conv", 32),
        ((16, 16, 3), "conv", 32),
        ((15, 40, 3), "mlp", 128),
        ((8, 8, 3), "mlp", 128),
    ],
)
def test_ones_own_images_get_the_network_that_takes_them(
    shape: tuple[int, ...], network: str, K: int, tmp_path: Path
) -> None:
    write_arrays(tmp_path, shape=shape)
    cell = make_cell(tmp_path / "run", "data=arrays", f"data.dir={tmp_path}")
    assert cell.choices["network"] == network
    assert cell.config.bottleneck.K == K


def test_the_provenance_names_the_network_that_was_built(tmp_path: Path) -> None:
    for bottleneck, network in (("vae", "conv_spatial"), ("soft_vq", "conv")):
        cell = make_cell(tmp_path, "fidelity=released", "data=svhn", f"bottleneck={bottleneck}")
        assert built_network(cell.config, cell.choices["network"]) == network


@pytest.mark.slow
@pytest.mark.parametrize("multirun", [False, True])
def test_ones_own_data_need_no_network_on_the_command_line(multirun: bool, tmp_path: Path) -> None:
    write_arrays(tmp_path / "own", shape=(8, 8, 3))
    where = f"hydra.sweep.dir={tmp_path}" if multirun else f"hydra.run.dir={tmp_path / 'run'}"
    chosen = ["data=arrays", f"data.dir={tmp_path / 'own'}", f"data.root={tmp_path}", where]
    cells = ["-m", "seed=0,1"] if multirun else []
    command = [sys.executable, str(ROOT / "train.py"), *cells, *QUICK, *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    written = [json.loads(file.read_text()) for file in tmp_path.rglob("metrics.json")]
    assert [metrics["provenance"]["network"] for metrics in written] == ["mlp"] * (1 + multirun)


@pytest.mark.parametrize(
    "write",
    [
        write_gray,
        write_colour,
        write_tiny_colour,
        write_folder,
        write_mnist,
        write_fashion,
        write_house_numbers,
        write_objects,
    ],
)
@pytest.mark.parametrize("bottleneck", ["raw", "beta_vae", "soft_vq"])
def test_rows_run_on_every_source(write: Callable[[Path], tuple[str, ...]], bottleneck: str, tmp_path: Path) -> None:
    overrides = [o for o in write(tmp_path) if not (bottleneck == "raw" and o.startswith("network"))]
    metrics = run(tmp_path / "run", f"bottleneck={bottleneck}", f"data.root={tmp_path}", *overrides)
    assert metrics["status"] == "finished"
    assert metrics["provenance"]["network"] in ("mlp", "conv", "pixels")


def test_the_same_seed_gives_the_same_numbers_and_seed_0_seeds(tmp_path: Path) -> None:
    overrides = ("data=digits", "bottleneck=soft_vq", *SMALL_MLP)
    first, again = run(tmp_path / "a", "seed=0", *overrides), run(tmp_path / "b", "seed=0", *overrides)
    other = run(tmp_path / "c", "seed=1", *overrides)
    assert results(first) == results(again)
    assert (tmp_path / "a" / "metrics.csv").read_bytes() == (tmp_path / "b" / "metrics.csv").read_bytes()
    assert other["reconstruction"] != first["reconstruction"]


def test_a_killed_run_started_again_ends_with_the_numbers_of_an_unbroken_one(tmp_path: Path) -> None:
    overrides = [
        *QUICK, *SMALL_MLP, "data=digits", "bottleneck=soft_vq", "trainer.max_steps=1000",
        "trainer.log_every_n_steps=7",
        "trainer.checkpoint_after_s=0.1", "trainer.checkpoint_every_s=0.1",
    ]  # fmt: skip
    command = [sys.executable, str(ROOT / "train.py"), *overrides]
    broken = RunFolder(tmp_path / "broken")
    process = subprocess.Popen([*command, f"hydra.run.dir={broken.path}"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not broken.checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert broken.checkpoint.exists()
    assert not broken.metrics.exists(), "the run was over before it could be killed"

    again = subprocess.run([*command, f"hydra.run.dir={broken.path}"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    whole = run(tmp_path / "whole", *overrides)
    assert results(json.loads(broken.metrics.read_text())) == results(whole)
    assert broken.curve.read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()


DIES = """
import os
import lightning as L

class InFirstSession(L.Callback):
    def on_validation_start(self, trainer, pl_module):
        if trainer.global_step == 50 and not os.environ.get("AGAIN"):
            os._exit(9)
"""


def test_a_run_that_dies_in_a_validation_loses_no_row_of_its_curve(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(DIES)
    overrides = [
        *QUICK, *SMALL_MLP, "data=digits", "bottleneck=vq", "trainer.max_steps=100",
        "data.val_fraction=0.1", "trainer.val_every_n_steps=50", "trainer.checkpoint_time_fraction=0",
        "trainer.checkpoint_after_s=0", "trainer.checkpoint_every_s=0",
    ]  # fmt: skip
    callback = "+trainer.callbacks.dies._target_=dies.InFirstSession"
    command = [sys.executable, str(ROOT / "train.py"), *overrides, callback, f"hydra.run.dir={tmp_path / 'broken'}"]
    path = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    died = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    assert died.returncode == 9, died.stdout + died.stderr
    again = subprocess.run(command, env={**path, "AGAIN": "1"}, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "from step" in (tmp_path / "broken" / "run.log").read_text()
    run(tmp_path / "whole", *overrides)
    assert (tmp_path / "broken" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()


def test_a_finished_cell_is_skipped_and_left_untouched(tmp_path: Path) -> None:
    overrides = ("data=digits", "bottleneck=identity", *SMALL_MLP)
    run(tmp_path, *overrides)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "metrics.json", tmp_path / "config.yaml")}
    assert complete(make_cell(tmp_path, *overrides)).status == "skipped"
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_resume_never_starts_over(tmp_path: Path) -> None:
    overrides = ("data=digits", "bottleneck=identity", *SMALL_MLP)
    run(tmp_path, *overrides)
    assert complete(make_cell(tmp_path, "resume=never", *overrides)).status == "finished"


def test_a_changed_configuration_in_an_old_folder_is_refused_with_the_difference(tmp_path: Path) -> None:
    run(tmp_path, "data=digits", "bottleneck=identity", *SMALL_MLP)
    with pytest.raises(ChangedConfigError, match=r"optimizer\.lr: 0\.0003 -> 0\.001"):
        complete(make_cell(tmp_path, "data=digits", "bottleneck=identity", "optimizer.lr=0.001", *SMALL_MLP))


def test_where_a_run_happens_does_not_change_its_hash(tmp_path: Path) -> None:
    overrides = ("data=digits", "bottleneck=identity", *SMALL_MLP)
    first = run(tmp_path / "a", *overrides)
    second = run(tmp_path / "b", f"data.root={tmp_path}", "probes.save_latents=true", "resume=never", *overrides)
    assert first["config_hash"] == second["config_hash"]
    latents = np.load(tmp_path / "b" / "latents.npz")
    assert latents["train"].shape == (1438, 64)
    assert latents["test_labels"].shape == (359,)


def test_a_part_set_aside_is_never_trained_on(tmp_path: Path) -> None:
    data = build_data(make_cell(tmp_path, "data=digits", "data.val_fraction=0.2").config)
    data.setup()
    trained, aside = set(data.train_indices.tolist()), set(data.val_indices.tolist())
    assert not trained & aside
    assert trained | aside == set(range(1438))
    assert len(aside) == round(0.2 * 1438)


def test_the_loss_of_a_part_set_aside_is_in_the_curve(tmp_path: Path) -> None:
    overrides = (
        "data=digits",
        "bottleneck=soft_vq",
        "data.val_fraction=0.2",
        "trainer.val_every_n_steps=2",
        *SMALL_MLP,
    )
    run(tmp_path, *overrides)
    with (tmp_path / "metrics.csv").open() as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    assert float(rows[2]["val/loss"]) > 0
    assert float(rows[4]["val/loss"]) != float(rows[2]["val/loss"])


def test_the_validation_protocol_reads_no_test_image_and_no_test_label(tmp_path: Path) -> None:
    write_arrays(tmp_path / "own", shape=(12, 10))
    overrides = (
        "data=arrays",
        f"data.root={tmp_path}",
        f"data.dir={tmp_path / 'own'}",
        "bottleneck=soft_vq",
        "data.val_fraction=0.5",
        "probes=validation",
        "probes.classification.steps=20",
        "network=mlp",
        *SMALL_MLP,
    )
    first = run(tmp_path / "first", *overrides)
    rng = np.random.default_rng(1)
    images, labels = (np.load(tmp_path / "own" / f"test_{kind}.npy") for kind in ("images", "labels"))
    np.save(tmp_path / "own" / "test_images.npy", rng.integers(0, 256, images.shape, dtype=np.uint8))
    np.save(tmp_path / "own" / "test_labels.npy", rng.permutation(labels))
    second = run(tmp_path / "second", *overrides)
    assert first["provenance"]["data"]["sha256"] != second["provenance"]["data"]["sha256"]
    assert first["probes"] == second["probes"]
    assert first["reconstruction"] == second["reconstruction"]
    assert first["protocol"]["name"] == "validation"


def test_the_validation_protocol_needs_images_set_aside(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"probes\.part=validation needs images set aside; set data\.val_fraction"):
        complete(make_cell(tmp_path, "data=digits", "bottleneck=soft_vq", "probes=validation", *SMALL_MLP))
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("bottleneck.K=1", "bottleneck.K must be at least 2, got 1"),
        ("network.d=0", "network.d must be at least 1, got 0"),
        ("bottleneck.sigma_eps=-0.1", "bottleneck.sigma_eps must be at least 0, got -0.1"),
        ("bottleneck.commitment_weight=-1", "bottleneck.commitment_weight must be at least 0, got -1"),
        ("bottleneck.reduction=median", "bottleneck.reduction must be one of sum, mean, got 'median'"),
        ("network=conv", "needs at least 16 x 16 pixels, got 8 x 8"),
        ("network=pixels", "bottleneck=raw and network=pixels belong together, got bottleneck=soft_vq"),
        ("data.batch_size=0", "data.batch_size must be at least 1, got 0"),
        ("data.batch_size=abc", "data.batch_size must be a whole number, got 'abc'"),
        ("data.eval_batch_size=2.5", "data.eval_batch_size must be a whole number, got 2.5"),
        ("data.val_fraction=abc", "data.val_fraction must be a finite number, got 'abc'"),
        ("bottleneck.K=abc", "bottleneck.K must be a whole number, got 'abc'"),
        ("bottleneck.K=2.5", "bottleneck.K must be a whole number, got 2.5"),
        ("network.d=abc", "network.d must be a whole number, got 'abc'"),
        ("optimizer.lr=abc", "optimizer.lr must be a finite number, got 'abc'"),
        ("optimizer.lr=-1", "optimizer.lr must be at least 0, got -1"),
        ("seed=abc", "seed must be a whole number, got 'abc'"),
        ("trainer.max_steps=abc", "trainer.max_steps must be a whole number, got 'abc'"),
        ("trainer.devices=0", "trainer.devices must be at least 1, a list of devices like [0,1], -1 for all, or auto"),
        ("trainer.devices=[]", "trainer.devices must be at least 1"),
        ("trainer.accelerator=gpv", "trainer.accelerator must be one of auto, cpu, gpu, cuda, mps, got 'gpv'"),
        ("trainer.precision=foo", "trainer.precision must be one of 32-true, bf16-mixed, 16-mixed, "),
        ("trainer.matmul_precision=foo", "trainer.matmul_precision must be one of highest, high, medium, got 'foo'"),
        ("resume=sometimes", "resume must be one of auto, never, got 'sometimes'"),
        ("data.val_fraction=1.5", "data.val_fraction must be at least 0 and below 1, got 1.5"),
        ("probes.tap=z_x", "probes.tap is 'z_x'"),
        ("probes.part=train", "probes.part must be test or validation, got 'train'"),
    ],
)
def test_settings_that_do_not_fit_are_named_before_training(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        complete(make_cell(tmp_path, "data=digits", "bottleneck=soft_vq", override))
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize("precision", [32, "16-mixed", "bf16"])
@pytest.mark.parametrize("devices", [1, -1, "auto", "[0,1]"])
def test_what_lightning_takes_is_no_fault(precision: int | str, devices: int | str, tmp_path: Path) -> None:
    make_cell(tmp_path, "data=digits", f"trainer.precision={precision}", f"trainer.devices={devices}")


@pytest.mark.parametrize(
    ("accelerator", "devices", "message"),
    [
        ("gpu", 1, "trainer.accelerator=gpu: torch finds none on this machine; set trainer.accelerator=cpu, or auto"),
        ("cuda", "auto", "trainer.accelerator=cuda: torch finds none on this machine"),
    ],
)
def test_an_accelerator_that_is_not_there_is_named(
    accelerator: str, devices: int | str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CUDAAccelerator, "auto_device_count", lambda: 0)
    monkeypatch.setattr(MPSAccelerator, "is_available", lambda: False)
    with pytest.raises(ValueError, match=re.escape(message)):
        check_accelerator(accelerator, devices)


@pytest.mark.parametrize("devices", [3, [0, 2]])
def test_more_gpus_than_there_are_are_refused(devices: int | list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUDAAccelerator, "auto_device_count", lambda: 2)
    check_accelerator("gpu", 2)
    with pytest.raises(ValueError, match=r"this machine has 2; set trainer\.devices=-1"):
        check_accelerator("gpu", devices)


@pytest.mark.parametrize("content", [b"garbage", b"", b"PK\x03\x04 torn"])
def test_a_damaged_checkpoint_is_named_with_the_way_out(content: bytes, tmp_path: Path) -> None:
    path = RunFolder(tmp_path).checkpoint
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=rf"{re.escape(str(path))} is damaged .*resume=never"):
        complete(make_cell(tmp_path, "data=digits", "bottleneck=identity", *SMALL_MLP))


def test_a_checkpoint_cut_short_is_damaged(tmp_path: Path) -> None:
    run(tmp_path, "data=digits", "bottleneck=identity", *SMALL_MLP)
    path = RunFolder(tmp_path).checkpoint
    assert "state_dict" in read_checkpoint(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DamagedFileError, match=r"last\.ckpt is damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"step,train/loss\n2,spam\n", b"\xff\xfe\n\x00\n", b"spam\n1\n", b"step\n1,2\n"])
def test_a_damaged_curve_is_named_before_training(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"metrics\.csv is damaged .*resume=never"):
        complete(make_cell(tmp_path, "data=digits", "bottleneck=identity", *SMALL_MLP))
    assert complete(make_cell(tmp_path, "resume=never", "data=digits", "bottleneck=identity", *SMALL_MLP)).status == (
        "finished"
    )


def test_a_folder_that_cannot_be_made_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ValueError, match=r"/file(/run)? cannot hold a run: .*hydra\.run\.dir=PATH"):
            complete(make_cell(folder, "data=digits", "bottleneck=identity", *SMALL_MLP))


def test_a_run_that_is_killed_while_its_tracker_finishes_hands_it_over_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("data=digits", "bottleneck=identity", *SMALL_MLP)
    finish = CurveLogger.finish

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CurveLogger, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        complete(make_cell(tmp_path, *overrides))
    finished = []
    monkeypatch.setattr(CurveLogger, "finish", lambda *args: (finished.append(True), finish(*args)))
    assert complete(make_cell(tmp_path, *overrides)).status == "finished"
    assert finished == [True]
    assert complete(make_cell(tmp_path, *overrides)).status == "skipped"
    assert finished == [True]


def test_all_settings_of_the_wrong_kind_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"seed must .*\n  trainer\.max_steps must .*\n  trainer\.devices must "):
        make_cell(tmp_path, "data=digits", "seed=abc", "trainer.max_steps=-1", "trainer.devices=0")


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        complete(make_cell(tmp_path, "data=digits", "bottleneck=soft_vq", "bottleneck.K=1", "network=conv"))
    assert "bottleneck.K" in str(error.value)
    assert "network=conv" in str(error.value)


def test_missing_data_are_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_images\.npy"):
        complete(make_cell(tmp_path / "run", "data=arrays", f"data.dir={tmp_path}"))


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    overrides = ("data=digits", "bottleneck=identity", "optimizer.lr=1e30", "trainer.checkpoint_after_s=0", *SMALL_MLP)
    with pytest.raises(NonFiniteLossError, match=r"(loss|reconstruction_loss) is (nan|inf) at step \d"):
        complete(make_cell(tmp_path, *overrides))
    assert not (tmp_path / "metrics.json").exists()


def test_a_finished_run_can_be_probed_again_at_another_tap(tmp_path: Path) -> None:
    first = run(tmp_path, "data=digits", "bottleneck=soft_vq", *SMALL_MLP)

    def evaluate(*overrides: str) -> dict[str, Any]:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            chosen = [f"run={tmp_path}", "probes=fast", "probes.clustering.n_init=2", "trainer.progress=false"]
            return evaluate_run(compose("evaluate", [*chosen, "trainer.threads=1", *overrides]))

    assert evaluate()["probes"] == first["probes"]
    quantized = evaluate("probes.tap=z_q")
    assert quantized["probes"] != first["probes"]
    assert (tmp_path / "evaluations" / "fast-z_q-digits.json").exists()
    with pytest.raises(ValueError, match=r"probes\.tap is 'nothing'"):
        evaluate("probes.tap=nothing")


@pytest.mark.slow
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


@pytest.mark.parametrize("first_ones", [True, False])
def test_a_process_saves_when_the_first_ones_clock_says_so(first_ones: bool, tmp_path: Path) -> None:
    # Saving waits for all processes: one that saved alone would wait for a step of the others, and they for its own.
    saved = []
    trainer: Any = SimpleNamespace(
        world_size=2,
        global_step=10,
        max_steps=100,
        is_global_zero=False,
        strategy=SimpleNamespace(broadcast=lambda _: first_ones),
        save_checkpoint=saved.append,
    )
    checkpoint = ResumeCheckpoint(tmp_path / "last.ckpt", after_s=1e9 if first_ones else 0, every_s=0, time_fraction=0)
    checkpoint.on_train_start(trainer, None)  # type: ignore[arg-type]
    checkpoint.on_train_batch_end(trainer)
    checkpoint.on_train_batch_start(trainer)
    assert bool(saved) == first_ones


@pytest.mark.slow
def test_two_devices_train_as_one_does(tmp_path: Path) -> None:
    by_the_clock = ("trainer.checkpoint_after_s=0.03", "trainer.checkpoint_every_s=0.03")  # of two processes
    overrides = ("data=digits", "bottleneck=soft_vq", "trainer.max_steps=60", *by_the_clock, *SMALL_MLP)
    one = run(tmp_path / "one", *overrides)
    command = [sys.executable, str(ROOT / "train.py"), *QUICK, *overrides, "trainer.devices=2"]
    done = subprocess.run([*command, f"hydra.run.dir={tmp_path / 'two'}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    two = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert two["provenance"]["devices"] == 2
    assert two["reconstruction"]["test_mse"] == pytest.approx(one["reconstruction"]["test_mse"], rel=1e-5)

    def losses(folder: str) -> list[float]:
        with (tmp_path / folder / "metrics.csv").open() as file:
            return [float(row["train/loss"]) for row in csv.DictReader(file)]

    assert losses("two") == pytest.approx(losses("one"), rel=1e-5)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_a_cell_runs_in_each_precision_that_is_offered(precision: str, tmp_path: Path) -> None:
    metrics = run(tmp_path, "data=digits", "bottleneck=soft_vq", *SMALL_MLP, f"trainer.precision={precision}")
    assert 0 < metrics["reconstruction"]["test_mse"] < 1
