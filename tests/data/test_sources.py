import gzip
import hashlib
import http.server
import os
import pickle
import shutil
import socket
import tarfile
import threading
import time
import urllib.error
from pathlib import Path

import numpy as np
import pytest
from image_files import (
    idx_bytes,
    labels_of,
    random_images,
    write_arrays,
    write_cifar10,
    write_idx_set,
    write_picture,
    write_pictures,
    write_svhn,
)
from PIL import Image
from sklearn.datasets import load_digits

from softvq.data import mnist, official
from softvq.data.array_files import ArrayFiles
from softvq.data.cifar10 import Cifar10Files
from softvq.data.digits import Digits
from softvq.data.image_folder import ImageFolder
from softvq.data.mnist import IdxFiles
from softvq.data.prepared import prepare
from softvq.data.source import DataError
from softvq.data.svhn import SvhnFiles

IDX_NAMES = [f"{split}-{part}" for split in ("train", "t10k") for part in ("images-idx3-ubyte", "labels-idx1-ubyte")]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test reaches the network; the few that download ask a server of their own."""

    def refuse(request, *args, **kwargs):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


# --- digits


def test_digits_are_all_of_scikit_learns_images_scaled_to_255(tmp_path):
    arrays = prepare(Digits("digits"), tmp_path)
    assert arrays.train_images.shape == (1438, 8, 8, 1)
    assert arrays.test_images.shape == (359, 8, 8, 1)
    expected = [[[round(v * 255 / 16) for v in row] for row in image] for image in load_digits().images.tolist()]
    found = np.concatenate([arrays.train_images, arrays.test_images])[..., 0]
    assert sorted(map(bytes, found)) == sorted(map(bytes, np.array(expected, dtype=np.uint8)))


def test_digits_test_set_has_a_fifth_of_each_class():
    raw = Digits("digits").load()
    counts = np.bincount(raw.test_labels) / (np.bincount(raw.test_labels) + np.bincount(raw.train_labels))
    np.testing.assert_allclose(counts, 0.2, atol=0.003)


def test_digits_are_the_same_everywhere(tmp_path):
    # Pinned: results on digits are compared between machines and versions.
    sha256 = "cb091e534b2e007fef3c51618f154941d847a8d8dc1a2a194680a5d39eb85049"
    assert prepare(Digits("digits"), tmp_path).info.sha256 == sha256


# --- MNIST and its like


def idx_set(root: Path, dataset: str = "MNIST", verify: bool = True) -> IdxFiles:
    return IdxFiles(dataset.lower(), str(root), verify, dataset)


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
    assert raw.classes == 10
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


def publish(monkeypatch, dataset: str, folder: Path) -> None:
    """Makes the .gz files that lie in a folder those that torchvision knows."""
    resources = [(f"{name}.gz", md5((folder / f"{name}.gz").read_bytes())) for name in IDX_NAMES]
    monkeypatch.setattr(f"torchvision.datasets.{dataset}.resources", resources)


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


# --- downloads


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (lambda root: idx_set(root), r"MNIST/raw/t10k-labels-idx1-ubyte\.gz \(MD5 ec29112dd5afa0611ce80d1b7f02629c\)"),
        (lambda root: idx_set(root, "FashionMNIST"), r"FashionMNIST/raw/train-labels-idx1-ubyte\.gz \(MD5 25c81989"),
        (lambda root: SvhnFiles("svhn", str(root), True), r"test_32x32\.mat \(MD5 eb5a983be6a315427106f1b164d9cef3\)"),
        (lambda root: Cifar10Files("cifar10", str(root), True), r"cifar-10-python\.tar\.gz \(MD5 c58f30108f718f92721a"),
    ],
)
def test_without_files_and_network_the_way_out_is_told(tmp_path, source, wanted):
    root = tmp_path / "empty"
    message = rf"data\.root={root} lacks .*no network in tests.*put these files into {root}: .*{wanted}.*"
    assert source(root).fingerprint() is None
    with pytest.raises(DataError, match=message + r"data\.root=PATH.*data=digits needs no files"):
        prepare(source(root), tmp_path)
    assert not [path for path in root.rglob("*") if not path.name.endswith(".lock")]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """An HTTP server of the files in `tmp_path / "server"`."""
    monkeypatch.undo()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "server"))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_absent_files_are_downloaded_by_torchvision_and_others_left_alone(tmp_path, monkeypatch, server):
    write_idx_set(tmp_path / "server", packed=True)
    publish(monkeypatch, "FashionMNIST", tmp_path / "server")
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", [server])
    root, folder = tmp_path / "root", tmp_path / "root" / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    shutil.copy2(tmp_path / "server" / f"{IDX_NAMES[0]}.gz", folder)
    before = (folder / f"{IDX_NAMES[0]}.gz").stat().st_ino
    (root / ".download-fashionmnist").mkdir()
    (root / ".download-fashionmnist" / "half").write_text("left by a process that was killed")
    source = idx_set(root, "FashionMNIST")
    assert prepare(source, root).info.verified is True
    assert prepare(source, root).info.train_size == 20
    assert (folder / f"{IDX_NAMES[0]}.gz").stat().st_ino == before
    assert sorted(path.name for path in folder.iterdir()) == sorted(IDX_NAMES + [f"{name}.gz" for name in IDX_NAMES])
    assert not (root / ".download-fashionmnist").exists()


def test_a_network_that_swallows_everything_is_given_up_soon(tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(official, "NETWORK_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", [mirror])
        started = time.monotonic()
        with pytest.raises(DataError, match=r"could not be downloaded \(.*timed out"):
            idx_set(tmp_path, "FashionMNIST").load()
    assert time.monotonic() - started < 5
    assert socket.getdefaulttimeout() is None


# --- SVHN


def test_svhn_images_come_in_order_and_label_ten_is_the_digit_zero(tmp_path):
    expected = write_svhn(tmp_path)
    raw = SvhnFiles("svhn", str(tmp_path), False).load()
    assert raw.verified is False
    for split in ("train", "test"):
        np.testing.assert_array_equal(getattr(raw, f"{split}_images")[:], expected[f"{split}_images"])
        np.testing.assert_array_equal(getattr(raw, f"{split}_labels"), expected[f"{split}_labels"])


def test_svhn_files_with_torchvisions_checksums_are_verified(tmp_path, monkeypatch):
    write_svhn(tmp_path)
    known = {s: ["url", f"{s}_32x32.mat", md5((tmp_path / f"{s}_32x32.mat").read_bytes())] for s in ("train", "test")}
    monkeypatch.setattr("torchvision.datasets.SVHN.split_list", known)
    assert SvhnFiles("svhn", str(tmp_path), True).load().verified is True


def test_another_svhn_file_is_named_with_both_checksums(tmp_path):
    write_svhn(tmp_path)
    path = tmp_path / "train_32x32.mat"
    message = rf"{path} .*MD5 e26dedcc434d2e4c54c9b2d4a06d8373 expected, {md5(path.read_bytes())} found.*data\.verify"
    with pytest.raises(DataError, match=message):
        SvhnFiles("svhn", str(tmp_path), True).load()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("keep", [0, 100, 2000, 20000])
def test_a_truncated_svhn_file_is_named(tmp_path, keep, compress):
    write_svhn(tmp_path, compress=compress)
    path = tmp_path / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"{path} \({keep} bytes\) cannot be read.*delete it to download it again"):
        SvhnFiles("svhn", str(tmp_path), False).load()


# --- CIFAR-10


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


# --- arrays


@pytest.mark.parametrize(
    ("shape", "expected"), [((12, 10), (12, 10, 1)), ((8, 8, 1), (8, 8, 1)), ((6, 6, 3), (6, 6, 3))]
)
def test_shape_of_arrays_is_known_from_their_headers(tmp_path, shape, expected):
    write_arrays(tmp_path, shape=shape)
    source = ArrayFiles("mine", str(tmp_path))
    assert source.image_shape() == expected
    assert prepare(source, tmp_path).info.image_shape == expected


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i4", "uint64"])
def test_labels_of_any_integer_type_become_int64(tmp_path, dtype):
    write_arrays(tmp_path)
    np.save(tmp_path / "train_labels.npy", labels_of(20, 3).astype(dtype))
    arrays = prepare(ArrayFiles("mine", str(tmp_path)), tmp_path)
    assert arrays.train_labels.dtype == np.int64
    np.testing.assert_array_equal(arrays.train_labels, labels_of(20, 3))


def test_labels_with_gaps_are_renumbered_alike_in_both_parts(tmp_path):
    write_arrays(tmp_path)
    np.save(tmp_path / "train_labels.npy", np.array([1, 5, 7, 5] * 5))
    np.save(tmp_path / "test_labels.npy", np.array([7, 1] * 5))
    raw = ArrayFiles("mine", str(tmp_path)).load()
    assert raw.classes == 3
    assert raw.train_labels[:4].tolist() == [0, 1, 2, 1]
    assert raw.test_labels[:2].tolist() == [2, 0]


def test_arrays_in_fortran_order_are_read_as_they_are(tmp_path):
    write_arrays(tmp_path)
    images = random_images(5, 20, 12, 10)
    np.save(tmp_path / "train_images.npy", np.asfortranarray(images))
    np.testing.assert_array_equal(prepare(ArrayFiles("mine", str(tmp_path)), tmp_path).train_images[..., 0], images)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "train_images",
            np.zeros((20, 12, 10), np.float32),
            r"must be uint8 .*found float32; .*astype\(numpy\.uint8\)",
        ),
        ("train_images", np.zeros((20, 120), np.uint8), r"must be N x H x W or N x H x W x C .*found \(20, 120\)"),
        ("train_images", np.zeros((0, 12, 10), np.uint8), r"with none of them 0, found \(0, 12, 10\)"),
        ("train_images", np.zeros((20, 3, 12, 10), np.uint8), r"looks like N x C x H x W; .*transpose\(0, 2, 3, 1\)"),
        ("test_images", np.zeros((10, 12, 11), np.uint8), r"one shape, found \(12, 10, 1\) and \(12, 11, 1\)"),
        ("train_labels", np.zeros(20), r"must hold integers, found float64; .*astype\(numpy\.int64\)"),
        (
            "train_labels",
            np.zeros(19, int),
            r"one label for each image of train_images\.npy, shape \(20,\), found \(19,\)",
        ),
        ("test_labels", np.zeros((10, 1), int), r"shape \(10,\), found \(10, 1\)"),
        ("test_labels", np.full(10, -2), "must hold labels of 0 or more, found -2"),
        ("train_labels", np.array([{}] * 20, dtype=object), r"holds Python objects, which are not read; needed are"),
    ],
)
def test_arrays_that_are_not_images_and_labels_are_named(tmp_path, name, array, message):
    write_arrays(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(DataError, match=message) as caught:
        prepare(ArrayFiles("mine", str(tmp_path)), tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_missing_arrays_are_named_with_the_layout_that_is_needed(tmp_path):
    write_arrays(tmp_path)
    (tmp_path / "test_images.npy").unlink()
    (tmp_path / "train_labels.npy").unlink()
    with pytest.raises(DataError, match=rf"data\.dir={tmp_path} lacks train_labels\.npy, test_images\.npy; needed are"):
        ArrayFiles("mine", str(tmp_path)).fingerprint()


@pytest.mark.parametrize(("keep", "message"), [(0, "is not a .npy file"), (60, "is not a .npy file")])
def test_a_broken_header_is_named(tmp_path, keep, message):
    write_arrays(tmp_path)
    path = tmp_path / "test_labels.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"{path} {message}"):
        ArrayFiles("mine", str(tmp_path)).load()


def test_a_truncated_array_is_named_with_both_sizes(tmp_path):
    write_arrays(tmp_path)
    path = tmp_path / "train_images.npy"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-7])
    message = rf"{path} should have {size} bytes for uint8 \(20, 12, 10\), found {size - 7}: it is cut short"
    with pytest.raises(DataError, match=message):
        ArrayFiles("mine", str(tmp_path)).load()


# --- image folder


def folder(path: Path, image_size: int | None = None) -> ImageFolder:
    return ImageFolder("pictures", str(path), image_size)


def test_classes_are_numbered_by_name_and_pixels_kept(tmp_path):
    write_pictures(tmp_path, classes=("zebra", "ant"))
    arrays = prepare(folder(tmp_path), tmp_path)
    assert folder(tmp_path).image_shape() == arrays.info.image_shape == (6, 4, 3)
    assert arrays.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert arrays.test_labels.tolist() == [0, 0, 1, 1]
    expected = np.asarray(Image.open(tmp_path / "train" / "zebra" / "1.png"))
    np.testing.assert_array_equal(arrays.train_images[4], expected)


def test_only_gray_pictures_have_one_channel_and_one_coloured_one_gives_all_three(tmp_path):
    write_pictures(tmp_path, shape=(6, 4))
    assert folder(tmp_path).image_shape() == (6, 4, 1)
    write_picture(tmp_path / "test" / "cat" / "9.png", random_images(9, 6, 4, 3))
    assert prepare(folder(tmp_path), tmp_path).train_images.shape == (6, 6, 4, 3)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_pictures_of_other_modes_become_rgb(tmp_path, mode):
    write_pictures(tmp_path)
    suffix = "jpg" if mode == "CMYK" else "png"
    write_picture(tmp_path / "train" / "cat" / f"9.{suffix}", np.full((6, 4, 3), 255, np.uint8), mode)
    np.testing.assert_array_equal(folder(tmp_path).load().train_images[3:4], 255)


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path):
    write_pictures(tmp_path)
    picture = Image.fromarray(np.full((6, 4, 3), 255, np.uint8)).convert("P")
    picture.save(tmp_path / "train" / "cat" / "9.png", transparency=bytes([0, 128, 255]))
    assert prepare(folder(tmp_path), tmp_path).info.train_size == 7


def test_suffixes_of_any_case_count_and_other_files_do_not(tmp_path):
    write_pictures(tmp_path)
    write_picture(tmp_path / "train" / "cat" / "9.JPG", random_images(9, 6, 4, 3))
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not a picture")
    (tmp_path / "train" / "cat" / ".hidden.png").write_text("not a picture")
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / "readme.md").write_text("not a class")
    assert folder(tmp_path).load().train_labels.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_pictures_of_two_sizes_are_named_with_the_way_out(tmp_path):
    write_pictures(tmp_path)
    write_picture(tmp_path / "test" / "dog" / "9.png", random_images(9, 5, 7, 3))
    message = rf"{tmp_path}/train/cat/0\.png is 4 x 6, .*test/dog/9\.png is 7 x 5; set data\.image_size=N"
    with pytest.raises(DataError, match=message):
        folder(tmp_path).image_shape()
    assert folder(tmp_path, 8).image_shape() == (8, 8, 3)


def test_a_shrunk_picture_is_the_mean_of_its_pixels(tmp_path):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200  # without antialiasing: 0 or 200 everywhere
    for split in ("train", "test"):
        write_picture(tmp_path / split / "stripes" / "0.png", stripes)
    image = folder(tmp_path, 4).load().train_images[0:1]
    assert image.shape == (1, 4, 4, 1)
    np.testing.assert_allclose(image, 100, atol=5)


def test_changed_added_and_removed_pictures_change_the_fingerprint(tmp_path):
    write_pictures(tmp_path)
    found = [folder(tmp_path).fingerprint()]
    write_picture(tmp_path / "train" / "cat" / "9.png", random_images(9, 6, 4, 3))
    found.append(folder(tmp_path).fingerprint())
    write_picture(tmp_path / "train" / "cat" / "9.png", np.zeros((6, 4, 3), np.uint8))
    found.append(folder(tmp_path).fingerprint())
    (tmp_path / "train" / "cat" / "9.png").unlink()
    assert len(set(found)) == 3
    assert folder(tmp_path).fingerprint() == found[0]


def test_two_sizes_of_one_folder_are_prepared_side_by_side(tmp_path):
    write_pictures(tmp_path)
    assert prepare(folder(tmp_path, 4), tmp_path).info.image_shape == (4, 4, 3)
    assert prepare(folder(tmp_path, 8), tmp_path).info.image_shape == (8, 8, 3)
    assert prepare(folder(tmp_path, 4), tmp_path).info.image_shape == (4, 4, 3)


def test_class_folders_must_be_the_same_in_both_parts(tmp_path):
    write_pictures(tmp_path)
    (tmp_path / "test" / "dog").rename(tmp_path / "test" / "wolf")
    with pytest.raises(DataError, match=rf"data\.dir={tmp_path}: .*only in train/: dog; only in test/: wolf"):
        folder(tmp_path).fingerprint()


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_missing_part_is_named_with_the_layout(tmp_path, part):
    write_pictures(tmp_path)
    shutil.rmtree(tmp_path / part)
    with pytest.raises(
        DataError, match=rf"data\.dir={tmp_path} has no class folders in {part}/; needed are train/CLASS"
    ):
        folder(tmp_path).fingerprint()


def test_a_class_without_pictures_is_named(tmp_path):
    write_pictures(tmp_path)
    for split in ("train", "test"):
        (tmp_path / split / "empty").mkdir()
    with pytest.raises(DataError, match=rf"{tmp_path}/train/empty holds no \.png, \.jpg, \.jpeg file"):
        folder(tmp_path).load()


@pytest.mark.parametrize("keep", [0, 20, 60])
def test_a_broken_picture_is_named(tmp_path, keep):
    write_pictures(tmp_path)
    path = tmp_path / "train" / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        DataError, match=rf"{path} \({keep} bytes\) cannot be read as a picture: .*replace or remove it"
    ):
        prepare(folder(tmp_path), tmp_path)


def test_pictures_with_16_bits_are_refused(tmp_path):
    write_pictures(tmp_path)
    path = tmp_path / "train" / "dog" / "1.png"
    Image.fromarray(np.full((6, 4), 60000, np.uint16)).save(path)
    with pytest.raises(DataError, match=rf"{path} has more than 8 bits a pixel .*save it with 8 bits"):
        folder(tmp_path).load()


def test_an_image_size_below_one_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"data\.image_size must be at least 1 \(or null\), got 0"):
        folder(tmp_path, 0)
