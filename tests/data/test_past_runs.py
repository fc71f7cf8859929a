"""Past runs: their settings still build their data, whose content has the SHA-256 that their hashes hold."""

import numpy as np
import pytest
from hydra.utils import instantiate
from image_files import write_arrays, write_cifar10, write_idx_set, write_pictures, write_svhn

from softvq.data.prepared import prepare

STEPS = {"log_every_n_steps": 50, "val_every_n_steps": 500}
OF_ROOT = {"root": "ROOT", "verify": False}
# `data.source` as it lies in their config.yaml, and the SHA-256 and pixel variance that were written with it.
SOURCES = [
    (
        {"_target_": "softvq.data.array_files.ArrayFiles", "name": "mine", "dir": "ROOT/arrays"},
        "3ec5d08a8497703b43da2cf393468f90065cb6376659ffad6ef7ec89a6559308",
        0.0880558937160921,
    ),
    (
        {
            "_target_": "softvq.data.image_folder.ImageFolder",
            "name": "mine",
            "dir": "ROOT/pictures",
            "image_size": None,
        },
        "1c45bcc120c96e03f723dc5cba134d5ee9a1505721a6ff3d153c28906a8879ec",
        0.08956953581481006,
    ),
    (
        {"_target_": "softvq.data.image_folder.ImageFolder", "name": "mine", "dir": "ROOT/pictures", "image_size": 4},
        "2b579f2a9a92ac065818ff03807966fc25a954f73d5d8020d77a73b5544478d1",
        0.043615912319751184,
    ),
    (
        {"_target_": "softvq.data.svhn.SvhnFiles", "name": "svhn", **OF_ROOT},
        "09d1b7ce5ec98b3311f32a2a2390b18132ce9d35c745bfdb9ea026b88b8fe978",
        0.08443826027644522,
    ),
    (
        {"_target_": "softvq.data.cifar10.Cifar10Files", "name": "cifar10", **OF_ROOT},
        "95c4c4cb2def70ca5b012bdf747bfa0ba3601b0f05a7af77401f38ae2f1ea03e",
        0.08423213634097784,
    ),
    (
        {"_target_": "softvq.data.mnist.IdxFiles", "name": "mnist", "dataset": "MNIST", **OF_ROOT},
        "126bb1f4315d75297384b81924b37685b684c9de7ebc02f6939a9fd0c04d1349",
        0.08551625562589982,
    ),
    (
        {"_target_": "softvq.data.digits.Digits", "name": "digits"},
        "cb091e534b2e007fef3c51618f154941d847a8d8dc1a2a194680a5d39eb85049",
        None,
    ),
]


@pytest.mark.parametrize(("source", "sha256", "pixel_variance"), SOURCES)
def test_settings_of_a_past_run_build_the_data_that_it_was_trained_on(tmp_path, source, sha256, pixel_variance):
    write_arrays(tmp_path / "arrays")
    write_pictures(tmp_path / "pictures")
    write_svhn(tmp_path)
    write_cifar10(tmp_path)
    write_idx_set(tmp_path / "MNIST" / "raw")
    here = {k: v.replace("ROOT", str(tmp_path)) if isinstance(v, str) else v for k, v in source.items()}
    info = prepare(instantiate(here), tmp_path).info
    assert info.sha256 == sha256
    if pixel_variance is not None:
        assert info.pixel_variance == pixel_variance  # to the last bit: losses are divided by it


def test_the_module_of_a_past_run_is_built_from_its_settings(tmp_path):
    settings = {"batch_size": 32, "eval_batch_size": 1000, "val_fraction": 0.0, "root": str(tmp_path)}
    digits = {"_target_": "softvq.data.digits.Digits", "name": "digits"}
    target = "softvq.data.module.ImageData"
    data = instantiate({"_target_": target, "name": "digits", "source": digits, **settings}, seed=0, **STEPS)
    data.setup()
    assert len(data.arrays.train_images) == 1438
    np.testing.assert_array_equal(data.train_indices, np.arange(1438))
