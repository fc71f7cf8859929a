"""Files that are made to do harm: nothing is called, written or taken in memory, and a line says what to do."""

import gzip
import io
import pickle
import resource
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import idx_bytes, idx_set, random_images, write_idx_set
from image_sets import (
    PICTURES,
    cifar,
    cifar_archive,
    idx_images,
    mat_uncompressed,
    outcome,
)
from PIL import Image
from scipy.io import savemat

from softvq.data.source import Source

MEMORY_LIMIT = 2**31  # bytes that a read may add, whatever a file promises


@pytest.fixture(autouse=True)
def quiet(caplog):
    """An accepted copy is warned of each time; that is not looked at here."""
    caplog.set_level("ERROR")


class Calls:
    """Pickled, a call of anything."""

    def __init__(self, called, *arguments):
        self.called, self.arguments = called, arguments

    def __reduce__(self):
        return self.called, self.arguments


@pytest.mark.parametrize(
    "content",
    [
        Calls(eval, "1 + 1"),
        Calls(np.load, "x", None, True),
        Calls(np.ndarray, (10**12,), np.dtype("u1")),
        Calls(np.dtype, "O"),
        Calls(exit, 0),
        {b"data": np.array([{}], dtype=object), b"labels": [0]},
        {b"data": np.zeros((1, 3072), np.float32), b"labels": [0]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [10**30]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [True]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": "0"},
        {b"data": [0] * 3072, b"labels": [0]},
        {b"labels": [0]},
        [1, 2],
        None,
    ],
)
def test_a_pickle_of_anything_else_than_a_batch_is_refused(tmp_path, content):
    source, path = cifar(tmp_path)
    path.write_bytes(pickle.dumps(content, protocol=2))
    assert "cannot be read" in outcome(source, path)


@pytest.mark.parametrize("protocol", range(6))
def test_batches_that_python_pickles_in_any_protocol_are_read(tmp_path, protocol):
    source, path = cifar(tmp_path)
    images = random_images(0, 2, 3072)
    path.write_bytes(pickle.dumps({"data": images, "labels": [3, 1]}, protocol=protocol))
    raw = source.load()
    np.testing.assert_array_equal(raw.test_images.transpose(0, 3, 1, 2).reshape(2, 3072), images)
    assert raw.test_labels.tolist() == [3, 1]


def nested_lists() -> bytes:
    """Lists of ten lists of ten lists, each the same one: ten bytes a level stand for ten times as many values."""
    labels: list = [0] * 10
    for _ in range(12):
        labels = [labels] * 10
    return pickle.dumps({"data": random_images(0, 1, 3072), "labels": labels})


def deep_lists() -> bytes:
    return b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."


def promised_bytes() -> bytes:
    return b"\x80\x04\x8e" + struct.pack("<Q", 10**12) + b"x."


def promised_memo() -> bytes:
    return b"\x80\x02" + b"Nr" + struct.pack("<I", 2**24) + b"."


def tall_mat() -> bytes:
    """A header of 10^9 images, as MATLAB writes it, before the few that there are."""
    file = io.BytesIO()
    savemat(file, {"X": np.zeros((32, 32, 3, 1), np.uint8), "y": np.ones((1, 1), np.uint8)})
    return file.getvalue().replace(struct.pack("<4i", 32, 32, 3, 1), struct.pack("<4i", 32, 32, 3, 10**9))


def idx_of(count: int) -> bytes:
    return struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + bytes(784)


def bomb(count: int) -> bytes:
    """Zeros that unfold a thousandfold, after a header of three images."""
    return gzip.compress(idx_bytes(np.zeros((3, 28, 28), np.uint8)) + bytes(count), compresslevel=9)


def packed_idx_images(root: Path) -> tuple[Source, Path]:
    write_idx_set(root / "MNIST" / "raw", train=3, test=3, packed=True)
    return idx_set(root, verify=False), root / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"


def tiff_of(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (3, 5)).save(file, "TIFF")
    content = bytearray(file.getvalue())
    for tag, value in ((256, width), (257, height)):
        place = content.index(struct.pack("<HHI", tag, 3, 1)) if struct.pack("<HHI", tag, 3, 1) in content else None
        kind = "<HHIHH" if place is not None else "<HHII"
        place = content.index(struct.pack("<HHI", tag, 4, 1)) if place is None else place
        packed = struct.pack("<HHII", tag, 4, 1, value)
        assert struct.calcsize(kind) == len(packed)
        content[place : place + len(packed)] = packed
    return bytes(content)


@pytest.mark.parametrize(
    ("make", "content"),
    [
        (cifar, nested_lists),
        (cifar, deep_lists),
        (cifar, promised_bytes),
        (cifar, promised_memo),
        (mat_uncompressed, tall_mat),
        (idx_images, lambda: idx_of(2**32 - 1)),
        (packed_idx_images, lambda: gzip.compress(idx_of(2**32 - 1))),
        (packed_idx_images, lambda: gzip.compress(idx_of(2_500_000))),
        (packed_idx_images, lambda: bomb(2**27)),
        (PICTURES[3], lambda: tiff_of(2**31 - 1, 2**31 - 1)),
        (PICTURES[3], lambda: tiff_of(9_000, 9_000)),
        (PICTURES[0], lambda: png_text_bomb()),
    ],
)
def test_a_promise_of_more_than_there_is_takes_no_memory(tmp_path, make, content):
    source, path = make(tmp_path)
    path.write_bytes(content())
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_LIMIT, before[1]))
    try:
        words = outcome(source, path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert words


def png_text_bomb() -> bytes:
    """A PNG whose comment unfolds to 64 MB."""
    file = io.BytesIO()
    Image.new("L", (4, 6)).save(file, "PNG")
    comment = b"Comment\0\0" + zlib.compress(bytes(2**26), 9)
    chunk = struct.pack(">I", len(comment)) + b"zTXt" + comment + struct.pack(">I", zlib.crc32(b"zTXt" + comment))
    return file.getvalue()[:33] + chunk + file.getvalue()[33:]


def test_an_archive_writes_nothing_but_its_batches(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    source, archive = cifar_archive(root)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root / "made" / "cifar-10-batches-py", "cifar-10-batches-py")
        for name in ("../../outside", str(tmp_path / "absolute"), "cifar-10-batches-py/extra"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("cifar-10-batches-py/linked")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert outcome(source, archive) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root"]
    unpacked = {path.name for path in (root / "cifar-10-batches-py").iterdir()}
    assert unpacked == {*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"}


@pytest.mark.parametrize("member", ["link", "large"])
def test_an_archive_whose_batches_are_none_is_refused(tmp_path, member, monkeypatch):
    source, archive = cifar_archive(tmp_path)
    with tarfile.open(archive, "w:gz") as tar:
        made = tarfile.TarInfo("cifar-10-batches-py/test_batch")
        if member == "link":
            made.type, made.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(made)
        else:
            monkeypatch.setattr("softvq.data.cifar10.LARGEST_BATCH", 1000)
            made.size = 1001
            tar.addfile(made, io.BytesIO(bytes(1001)))
    assert "cannot be read" in outcome(source, archive)
