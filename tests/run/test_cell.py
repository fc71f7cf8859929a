"""Whole cells: every row, every source, repeating, setting images aside."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cells import QUICK, ROOT, SMALL_CONV, SMALL_MLP, make_cell, results, run
from image_files import write_arrays, write_cifar10, write_idx_set, write_pictures, write_svhn

from softvq.config.compose import built_network, options
from softvq.run.build import build_data

FLOORS = ("raw", "untrained")
QUICK_ROWS = ("untrained", "soft_vq")


@pytest.mark.parametrize(
    "bottleneck",
    [pytest.param(name, marks=() if name in QUICK_ROWS else pytest.mark.slow) for name in options("bottleneck")],
)
def test_every_row_runs_on_digits_through_to_its_metrics(bottleneck: str, tmp_path: Path) -> None:
    small = SMALL_MLP if bottleneck != "raw" else ()
    metrics = run(tmp_path, "data=digits", f"bottleneck={bottleneck}", *small, figures=True)
    floor = bottleneck in FLOORS
    assert metrics["status"] == "finished"
    assert metrics["bottleneck"] == bottleneck
    assert metrics["steps"] == (0 if floor else 4)
    assert (metrics["reconstruction"] is None) == floor
    assert all(0 <= value <= 1 for value in metrics["probes"].values())
    assert (tmp_path / "figures" / "tsne.png").exists()
    assert (tmp_path / "figures" / "reconstructions.png").exists() == (not floor)
    if bottleneck in ("raw", "untrained", "identity", "vae", "soft_vq", "vq"):
        assert (tmp_path / "figures" / "codebook_use.png").exists() == (bottleneck in ("vq", "soft_vq"))
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == ([] if floor else [2, 4])
    assert all(float(row["train/active_units"]) >= 0 for row in rows)


def test_a_run_that_cannot_learn_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "still", "data=digits", "bottleneck=identity", "optimizer.lr=0", *SMALL_MLP)
    assert "optimizer.lr=0: nothing is learned" in capsys.readouterr().err
    run(tmp_path / "learning", "data=digits", "bottleneck=identity", *SMALL_MLP)
    assert "nothing is learned" not in capsys.readouterr().err


# --- sources


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "bottleneck"),
    [
        (write_gray, "soft_vq"),
        (write_colour, "raw"),
        (write_tiny_colour, "soft_vq"),
        (write_folder, "vae"),
        (write_mnist, "raw"),
        (write_fashion, "soft_vq"),
        (write_house_numbers, "beta_vae"),
        (write_objects, "soft_vq"),
    ],
)
def test_rows_run_on_every_source(write: Callable[[Path], tuple[str, ...]], bottleneck: str, tmp_path: Path) -> None:
    overrides = [o for o in write(tmp_path) if not (bottleneck == "raw" and o.startswith("network"))]
    metrics = run(tmp_path / "run", f"bottleneck={bottleneck}", f"data.root={tmp_path}", *overrides)
    assert metrics["status"] == "finished"
    assert metrics["provenance"]["network"] in ("mlp", "conv", "pixels")


@pytest.mark.slow
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


@pytest.mark.parametrize("bottleneck", ["vq_ema", "delta_vae", "fsq"])
def test_a_method_that_the_release_lacks_gets_its_network_batch_and_loss(bottleneck: str, tmp_path: Path) -> None:
    cell = make_cell(tmp_path, "data=svhn", "fidelity=released", f"bottleneck={bottleneck}")
    of_the_paper = make_cell(tmp_path, "data=svhn", "fidelity=released", "bottleneck=soft_vq")
    for group in ("network", "data", "reconstruction"):
        assert cell.config[group] == of_the_paper.config[group]


@pytest.mark.slow
@pytest.mark.process
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


# --- repeating


def test_the_same_seed_gives_the_same_numbers_and_seed_0_seeds(tmp_path: Path) -> None:
    overrides = ("data=digits", "bottleneck=soft_vq", *SMALL_MLP)
    first, again = run(tmp_path / "a", "seed=0", *overrides), run(tmp_path / "b", "seed=0", *overrides)
    other = run(tmp_path / "c", "seed=1", *overrides)
    assert results(first) == results(again)
    assert (tmp_path / "a" / "metrics.csv").read_bytes() == (tmp_path / "b" / "metrics.csv").read_bytes()
    assert other["reconstruction"] != first["reconstruction"]


def test_where_a_run_happens_does_not_change_its_hash(tmp_path: Path) -> None:
    overrides = ("data=digits", "bottleneck=identity", *SMALL_MLP)
    first = run(tmp_path / "a", *overrides)
    second = run(tmp_path / "b", f"data.root={tmp_path}", "probes.save_latents=true", "resume=never", *overrides)
    assert first["config_hash"] == second["config_hash"]
    latents = np.load(tmp_path / "b" / "latents.npz")
    assert latents["train"].shape == (1438, 64)
    assert latents["test_labels"].shape == (359,)


# --- images set aside


def test_a_part_set_aside_is_never_trained_on(tmp_path: Path) -> None:
    data = build_data(make_cell(tmp_path, "data=digits", "data.val_fraction=0.2").config)
    data.setup()
    trained, aside = set(data.train_indices.tolist()), set(data.val_indices.tolist())
    assert not trained & aside
    assert trained | aside == set(range(1438))
    assert len(aside) == round(0.2 * 1438)


def test_the_loss_of_a_part_set_aside_is_in_the_curve_whatever_the_batch_size(tmp_path: Path) -> None:
    overrides = (
        "data=digits",
        "bottleneck=soft_vq",
        "data.val_fraction=0.2",
        "trainer.val_every_n_steps=2",
        *SMALL_MLP,
    )
    found = {}
    for size in (1000, 50):
        run(tmp_path / str(size), *overrides, f"data.eval_batch_size={size}")
        with (tmp_path / str(size) / "metrics.csv").open() as file:
            rows = {int(row["step"]): row for row in csv.DictReader(file)}
        assert float(rows[2]["val/loss"]) > 0
        assert float(rows[4]["val/loss"]) != float(rows[2]["val/loss"])
        found[size] = {name: float(value) for name, value in rows[4].items() if name.startswith("val/")}
    assert found[1000] == pytest.approx(found[50], rel=1e-5)


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
