"""What lies in a file's place: pipes, sockets, devices, folders and links are named in a moment, and never opened."""

import os
import signal
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest
from image_files import idx_set, write_arrays, write_cifar10, write_idx_set, write_pictures, write_svhn

from softvq.data.array_files import ArrayFiles
from softvq.data.cifar10 import Cifar10Files
from softvq.data.image_folder import ImageFolder
from softvq.data.prepared import prepare, prepared_folder, prepared_info
from softvq.data.source import DataError
from softvq.data.svhn import SvhnFiles


@contextmanager
def at_once():
    """Fails where its block waits, as opening a pipe does."""

    def give_up(number, frame):
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def put(kind: str, path: Path) -> None:
    """Puts something that is no regular file in a file's place."""
    path.unlink()
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            os.chdir(path.parent)  # a socket's path must be short
            server.bind(path.name)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a link to":
        path.symlink_to(path.with_name("gone"))
    else:
        path.symlink_to(path)


KINDS = ["a pipe", "a socket", "a device", "a folder", "a link to", "symbolic links"]


@pytest.fixture
def stay(monkeypatch):
    """Goes back to where a test began."""
    monkeypatch.chdir(os.getcwd())


def idx(root: Path):
    write_idx_set(root / "MNIST" / "raw")
    return idx_set(root, verify=False), root / "MNIST" / "raw" / "train-images-idx3-ubyte"


def packed_idx(root: Path):
    write_idx_set(root / "MNIST" / "raw", packed=True)
    return idx_set(root, verify=False), root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"


def svhn(root: Path):
    write_svhn(root)
    return SvhnFiles("svhn", str(root), False), root / "test_32x32.mat"


def cifar10(root: Path):
    write_cifar10(root)
    return Cifar10Files("cifar10", str(root), False), root / "cifar-10-batches-py" / "data_batch_3"


def archive(root: Path):
    (root / "cifar-10-python.tar.gz").write_bytes(b"")
    return Cifar10Files("cifar10", str(root), False), root / "cifar-10-python.tar.gz"


def images(root: Path):
    write_arrays(root)
    return ArrayFiles("mine", str(root)), root / "test_images.npy"


def labels(root: Path):
    write_arrays(root)
    return ArrayFiles("mine", str(root)), root / "train_labels.npy"


def picture(root: Path):
    write_pictures(root)
    return ImageFolder("mine", str(root), None), root / "train" / "cat" / "1.png"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [idx, packed_idx, svhn, cifar10, archive, images, labels, picture])
def test_what_is_no_file_is_named_and_never_waited_for(tmp_path, stay, make, kind):
    source, path = make(tmp_path)
    put(kind, path)
    if make is picture and kind == "a folder":
        assert source.load().train_images.shape[0] == 5  # a folder like any other
        return
    with at_once(), pytest.raises(DataError, match=rf"{path} .*{kind}") as caught:
        prepare(source, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["meta.json", "train_images.npy", "test_labels.npy"])
def test_prepared_arrays_with_something_else_in_a_files_place_are_prepared_again(tmp_path, stay, name, kind):
    source, _ = images(tmp_path)
    info = prepare(source, tmp_path).info
    put(kind, prepared_folder(source, tmp_path) / name)
    with at_once():
        assert prepared_info(source, tmp_path) is None
        assert prepare(source, tmp_path).info == info


@pytest.mark.parametrize("make", [images, picture])
def test_a_folder_that_is_a_dangling_link_is_blamed_by_its_own_key(tmp_path, make):
    (tmp_path / "mine").mkdir()
    source, _ = make(tmp_path / "mine")
    (tmp_path / "mine").rename(tmp_path / "moved")
    (tmp_path / "mine").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=rf"data\.dir={tmp_path}/mine: .* is a link to {tmp_path}/elsewhere, which"):
        prepare(source, tmp_path)


def test_a_root_that_is_a_dangling_link_is_blamed(tmp_path):
    (tmp_path / "root").symlink_to(tmp_path / "elsewhere")
    source, _ = images(tmp_path / "mine")
    for of_root in (source, idx_set(tmp_path / "root")):
        with pytest.raises(DataError, match=rf"data\.root={tmp_path}/root: .* is a link to {tmp_path}/elsewhere"):
            prepare(of_root, tmp_path / "root")
    assert not (tmp_path / "elsewhere").exists()


def test_a_root_below_folders_that_are_not_there_is_not_made(tmp_path):
    source, _ = images(tmp_path / "mine")
    for of_root in (source, idx_set(tmp_path / "no" / "such" / "root")):
        with pytest.raises(DataError, match=rf"data\.root={tmp_path}/no/such/root: {tmp_path}/no/such is not there"):
            prepare(of_root, tmp_path / "no" / "such" / "root")
    assert not (tmp_path / "no").exists()


def test_what_cannot_be_fetched_leaves_no_folder_behind(tmp_path):
    with pytest.raises(DataError, match="could not be downloaded"):
        prepare(idx_set(tmp_path / "typo"), tmp_path / "typo")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_said_before_it_is_full(tmp_path, monkeypatch):
    source, _ = images(tmp_path / "mine")
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"needs 0\.0 GB for 30 images of .*set data\.root=PATH to another disk"):
        prepare(source, tmp_path)


@pytest.mark.parametrize("value", [None, "", " ", 5, True, "a\0b", ["x"]])
def test_paths_that_are_none_are_refused_by_their_keys(value):
    with pytest.raises(DataError, match=r"data\.dir must be a path, got .*; set data\.dir=PATH"):
        ArrayFiles("mine", value)
    with pytest.raises(DataError, match=r"data\.dir must be a path, got "):
        ImageFolder("mine", value, None)
    with pytest.raises(DataError, match=r"data\.root must be a path, got "):
        SvhnFiles("svhn", value, True)


def test_a_home_of_nobody_is_a_folder_that_is_not_there():
    with pytest.raises(DataError, match=r"data\.dir=~nobody-at-all/x is not there"):
        ArrayFiles("mine", "~nobody-at-all/x").fingerprint()
