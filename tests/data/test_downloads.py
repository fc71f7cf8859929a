"""Published sets that are not there: fetched from a server, or the way out is told."""

import http.server
import shutil
import socket
import threading
import time

import pytest
from image_files import IDX_NAMES, idx_set, publish, write_idx_set

from softvq.data import official
from softvq.data.cifar10 import Cifar10Files
from softvq.data.prepared import prepare
from softvq.data.source import DataError
from softvq.data.svhn import SvhnFiles


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
