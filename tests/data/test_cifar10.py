"""CIFAR-10 from pickles and from its archive, whole, damaged and hostile."""

import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from image_files import md5, write_cifar10

from softvq.data.cifar10 import Cifar10Files
from softvq.data.source import DataError


def check_cifar10(raw, expected) -> None:
    for split in ("train", "test"):
        np.testing.assert_array_equal(getattr(raw, f"{split}_images")[:], expected[f"{split}_images"])
        np.testing.assert_array_equal(getattr(raw, f"{split}_labels"), expected[f"{split}_labels"])


def know_cifar10(monkeypatch, root: Path) -> None:
    """Makes the batches that lie below a folder those that torchvision knows."""
    batches = root / "cifar-10-batches-py"
    known = [[path.name, md5(path.read_bytes())] for path in sorted(batches.glob("*_batch*"))]
    monkeypatch.setattr("torchvision.datasets.CIFAR10.train_list", known[:5])
    monkeypatch.setattr("torchvision.datasets.CIFAR10.test_list", known[5:])


def test_cifar10_batches_are_joined_in_order_with_channels_last(tmp_path, monkeypatch):
    expected = write_cifar10(tmp_path)
    raw = Cifar10Files("cifar10", str(tmp_path), False).load()
    assert raw.verified is False
    check_cifar10(raw, expected)
    know_cifar10(monkeypatch, tmp_path)
    assert Cifar10Files("cifar10", str(tmp_path), True).load().verified is True


def test_another_cifar10_batch_is_named_with_both_checksums(tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    message = rf"{path} .*MD5 c99cafc152244af753f735de768cd75f expected, {md5(path.read_bytes())} found.*data\.verify"
    with pytest.raises(DataError, match=message):
        Cifar10Files("cifar10", str(tmp_path), True).load()


def test_the_cifar10_archive_is_unpacked_without_a_network(tmp_path, monkeypatch):
    expected = write_cifar10(tmp_path / "made")
    know_cifar10(monkeypatch, tmp_path / "made")
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / "cifar-10-batches-py", "cifar-10-batches-py")
    with pytest.raises(DataError, match=rf"{archive} .*c58f30108f718f92721af3b95e74349a expected"):
        Cifar10Files("cifar10", str(tmp_path), True).load()
    monkeypatch.setattr("torchvision.datasets.CIFAR10.tgz_md5", md5(archive.read_bytes()))
    raw = Cifar10Files("cifar10", str(tmp_path), True).load()
    assert raw.verified is True
    check_cifar10(raw, expected)
    assert archive.is_file()


def test_a_truncated_cifar10_archive_is_named(tmp_path):
    write_cifar10(tmp_path / "made")
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / "cifar-10-batches-py", "cifar-10-batches-py")
    archive.write_bytes(archive.read_bytes()[:20000])
    with pytest.raises(DataError, match=rf"{archive} \(20000 bytes\) cannot be read"):
        Cifar10Files("cifar10", str(tmp_path), False).load()


@pytest.mark.parametrize("keep", [0, 20, 5000])
def test_a_truncated_cifar10_batch_is_named(tmp_path, keep):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"{path} \({keep} bytes\) cannot be read.*delete it to download it again"):
        Cifar10Files("cifar10", str(tmp_path), False).load()


class Payload:
    def __reduce__(self):
        return os.system, ("true",)


def test_an_unverified_cifar10_batch_cannot_run_code(tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(DataError, match=r"test_batch .*posix\.system has no place in CIFAR-10"):
        Cifar10Files("cifar10", str(tmp_path), False).load()
