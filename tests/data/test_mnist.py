"""MNIST and its like, read from IDX files as published, packed and damaged."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from image_files import IDX_NAMES, idx_bytes, idx_set, labels_of, md5, publish, random_images, write_idx_set

from softvq.data import mnist
from softvq.data.source import DataError


def call_official(monkeypatch, folder: Path) -> None:
    """Makes the unpacked MNIST files that lie in a folder the official ones."""
    known = {}
    for path in folder.iterdir():
        content = path.read_bytes()
        known[path.name.removesuffix(".gz")] = md5(gzip.decompress(content) if path.suffix == ".gz" else content)
    monkeypatch.setitem(mnist.UNPACKED_MD5, "MNIST", known)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read_plain_and_gzipped(tmp_path, monkeypatch, packed):
    expected = write_idx_set(tmp_path / "MNIST" / "raw", packed=packed)
    call_official(monkeypatch, tmp_path / "MNIST" / "raw")
    raw = idx_set(tmp_path).load()
    assert raw.verified is True
    assert raw.class_names == tuple("0123456789")
    np.testing.assert_array_equal(raw.train_images[:][..., 0], expected["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(raw.train_labels, expected["train-labels-idx1-ubyte"])
    np.testing.assert_array_equal(raw.test_images[:][..., 0], expected["t10k-images-idx3-ubyte"])
    np.testing.assert_array_equal(raw.test_labels, expected["t10k-labels-idx1-ubyte"])


def test_known_checksums_of_unpacked_mnist_cover_its_four_files():
    assert sorted(mnist.UNPACKED_MD5["MNIST"]) == sorted(IDX_NAMES)


@pytest.mark.parametrize("name", IDX_NAMES)
def test_an_altered_mnist_file_is_named_with_both_checksums(tmp_path, monkeypatch, name):
    folder = tmp_path / "MNIST" / "raw"
    write_idx_set(folder)
    call_official(monkeypatch, folder)
    content = (folder / name).read_bytes()
    altered = content[:-1] + bytes([content[-1] ^ 1])
    (folder / name).write_bytes(altered)
    message = (
        rf"{name} \({len(content)} bytes\).*MD5.* {md5(content)} expected, {md5(altered)} found.*data\.verify=false"
    )
    with pytest.raises(DataError, match=message):
        idx_set(tmp_path).load()
    assert idx_set(tmp_path, verify=False).load().verified is False


@pytest.mark.parametrize("keep", [3, 10, 1000])
def test_a_truncated_idx_file_is_named_even_where_copies_are_accepted(tmp_path, keep):
    write_idx_set(tmp_path / "MNIST" / "raw")
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"{path} \({keep} bytes\) cannot be read.*delete it to download it again"):
        idx_set(tmp_path, verify=False).load()


def test_a_truncated_gz_file_is_named(tmp_path):
    write_idx_set(tmp_path / "MNIST" / "raw", packed=True)
    path = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=rf"{path} \(500 bytes\) cannot be read: .*end-of-stream.*delete it"):
        idx_set(tmp_path, verify=False).load()


def test_images_of_another_size_are_no_mnist(tmp_path):
    write_idx_set(tmp_path / "MNIST" / "raw")
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(idx_bytes(random_images(0, 20, 8, 8)))
    with pytest.raises(DataError, match=rf"{path}.*images of \(28, 28\) expected, \(8, 8\) found"):
        idx_set(tmp_path, verify=False).load()


def test_unpacked_fashion_mnist_alone_cannot_be_verified(tmp_path):
    write_idx_set(tmp_path / "FashionMNIST" / "raw")
    assert idx_set(tmp_path, "FashionMNIST").load().verified is None


def test_fashion_mnist_is_verified_by_the_gz_files(tmp_path, monkeypatch):
    folder = tmp_path / "FashionMNIST" / "raw"
    write_idx_set(folder, packed=True)
    publish(monkeypatch, "FashionMNIST", folder)
    assert idx_set(tmp_path, "FashionMNIST").load().verified is True
    write_idx_set(folder)
    assert idx_set(tmp_path, "FashionMNIST").load().verified is True
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels_of(20)[::-1]))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte \(28 bytes\).*train-labels-idx1-ubyte\.gz's MD5"):
        idx_set(tmp_path, "FashionMNIST").load()


def test_a_gz_file_that_is_not_the_published_one_is_named(tmp_path):
    write_idx_set(tmp_path / "FashionMNIST" / "raw", packed=True)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz .* 8d4fb7e6c68d591d4c3dfef9ec88bf0d expected"):
        idx_set(tmp_path, "FashionMNIST").load()
    assert idx_set(tmp_path, "FashionMNIST", verify=False).load().verified is False
