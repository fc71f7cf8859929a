"""A source is prepared once: what is written, when it is used again, and what stopping in between leaves."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
from image_files import labels_of, random_images, write_arrays, write_idx_set

from softvq.data.array_files import ArrayFiles
from softvq.data.dataset import DatasetInfo
from softvq.data.digits import Digits
from softvq.data.mnist import IdxFiles
from softvq.data.prepared import prepare, prepared_folder, prepared_info
from softvq.data.source import DataError, RawData, Source

# A source that says when it is read and how often, and takes its time: `slow` seconds for each slice of images.
SLOW_SOURCE = """
import sys, time
from pathlib import Path
import numpy as np
from softvq.data.array_files import ArrayFiles
from softvq.data.prepared import prepare
from softvq.data.source import RawData

class Slow:
    def __init__(self, images, seconds):
        self.images, self.shape, self.seconds = images, images.shape, seconds

    def __getitem__(self, part):
        with open(log, "a") as file:
            file.write("read\\n")
        time.sleep(self.seconds)
        return self.images[part]

class SlowFiles(ArrayFiles):
    def load(self):
        raw = super().load()
        return RawData(**{**vars(raw), "train_images": Slow(raw.train_images, seconds)})

folder, root, log, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
print(prepare(SlowFiles("mine", folder), root).info.sha256)
"""


def start_slow_prepare(mine: ArrayFiles, root: Path, log: Path, seconds: float) -> subprocess.Popen:
    command = [sys.executable, "-W", "error", "-c", SLOW_SOURCE, str(mine.dir), str(root), str(log), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_prepared_arrays_hold_what_the_source_holds(mine, tmp_path):
    arrays = prepare(mine, tmp_path)
    for split in ("train", "test"):
        images, labels = getattr(arrays, f"{split}_images"), getattr(arrays, f"{split}_labels")
        np.testing.assert_array_equal(images[..., 0], np.load(mine.dir / f"{split}_images.npy"))
        np.testing.assert_array_equal(labels, np.load(mine.dir / f"{split}_labels.npy"))
        assert isinstance(images, np.memmap)
        assert not images.flags.writeable
        assert labels.dtype == np.int64
    assert arrays.info.image_shape == arrays.train_images.shape[1:] == (12, 10, 1)
    assert (arrays.info.train_size, arrays.info.test_size, arrays.info.classes) == (20, 10, 3)


def test_pixel_variance_is_that_of_all_training_pixels_in_zero_to_one(mine, tmp_path):
    info = prepare(mine, tmp_path).info
    pixels = np.load(mine.dir / "train_images.npy").astype(np.float64) / 255
    assert info.pixel_variance == pytest.approx(pixels.var(), rel=1e-12)


def test_prepared_info_is_what_prepare_returned_and_none_before(mine, tmp_path):
    assert prepared_info(mine, tmp_path) is None
    assert prepare(mine, tmp_path).info == prepared_info(mine, tmp_path)


def test_meta_json_holds_the_info_as_it_is(mine, tmp_path):
    info = prepare(mine, tmp_path).info
    found = json.loads((prepared_folder(mine, tmp_path) / "meta.json").read_text())["info"]
    assert list(found) == [field.name for field in fields(DatasetInfo)]
    assert found == json.loads(json.dumps(asdict(info)))


@pytest.mark.process
def test_planning_imports_neither_torch_nor_the_readers_of_images(mine, tmp_path):
    prepare(mine, tmp_path)
    code = f"""
        import sys
        from softvq.data.array_files import ArrayFiles
        from softvq.data.prepared import prepared_info
        from softvq.data import cifar10, digits, image_folder, mnist, svhn

        assert prepared_info(ArrayFiles("mine", {str(mine.dir)!r}), {str(tmp_path)!r})
        assert not {{"torch", "torchvision", "sklearn", "scipy"}} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_same_content_has_the_same_sha256_wherever_it_lies(mine, tmp_path):
    write_arrays(tmp_path / "copy")
    copy = ArrayFiles("other", str(tmp_path / "copy"))
    assert prepare(copy, tmp_path / "elsewhere").info.sha256 == prepare(mine, tmp_path).info.sha256


def test_one_other_pixel_or_label_gives_another_sha256(mine, tmp_path):
    found = {prepare(mine, tmp_path).info.sha256}
    for name in ("train_images", "test_labels"):
        array = np.load(mine.dir / f"{name}.npy")
        array.flat[-1] ^= 1
        np.save(mine.dir / f"{name}.npy", array)
        found.add(prepare(mine, tmp_path).info.sha256)
    assert len(found) == 3


def test_a_second_call_reads_the_source_no_more(mine, tmp_path, monkeypatch):
    first = prepare(mine, tmp_path)
    monkeypatch.setattr(ArrayFiles, "load", lambda self: pytest.fail("read again"))
    assert prepare(mine, tmp_path).info == first.info


def test_changed_source_files_are_prepared_again(mine, tmp_path):
    prepare(mine, tmp_path)
    write_arrays(mine.dir, train=23)
    assert prepared_info(mine, tmp_path) is None
    assert prepare(mine, tmp_path).info.train_size == 23


def test_arrays_mapped_before_they_are_prepared_again_keep_their_content(mine, tmp_path):
    before = prepare(mine, tmp_path)
    expected = np.array(before.train_images)
    write_arrays(mine.dir, train=23)
    prepare(mine, tmp_path)
    np.testing.assert_array_equal(before.train_images, expected)


def test_a_source_changed_at_equal_size_and_time_is_prepared_again(mine, tmp_path):
    first = prepare(mine, tmp_path).info
    path = mine.dir / "train_images.npy"
    before, images = path.stat(), np.load(path)
    images[0, 0, 0] ^= 1
    np.save(path, images)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert prepared_info(mine, tmp_path) is None
    assert prepare(mine, tmp_path).info.sha256 != first.sha256


def test_a_downloaded_set_stays_usable_when_its_files_are_gone_also_in_a_moved_copy(tmp_path):
    write_idx_set(tmp_path / "data" / "MNIST" / "raw")
    info = prepare(IdxFiles("mnist", str(tmp_path / "data"), False, "MNIST"), tmp_path / "data").info
    subprocess.run(["rm", "-r", str(tmp_path / "data" / "MNIST")], check=True)
    subprocess.run(["cp", "-r", str(tmp_path / "data"), str(tmp_path / "copy")], check=True)  # with new times
    for root in (tmp_path / "data", tmp_path / "copy"):
        source = IdxFiles("mnist", str(root), False, "MNIST")
        assert prepare(source, root).info == info
        assert prepared_info(source, root) == info


def read_only(monkeypatch):
    """Lets nothing be made, as on a disk that is mounted read-only."""

    def refuse(path, flags, *args, **kwargs):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return opened(path, flags, *args, **kwargs)

    opened = os.open
    monkeypatch.setattr(os, "open", refuse)


def test_a_copy_on_a_disk_that_is_read_only_is_used_where_its_source_was_copied_with_its_times(
    tmp_path, monkeypatch, mine
):
    info = prepare(mine, tmp_path).info
    source = ArrayFiles("mine", str(mine.dir))
    path = mine.dir / "train_images.npy"
    path.chmod(0o600)  # the time that only the system sets is a new one
    read_only(monkeypatch)
    assert prepared_info(source, tmp_path) is None
    assert prepare(source, tmp_path).info == info
    os.utime(path)
    with pytest.raises(
        DataError, match=r"data\.root=.*: cannot prepare mine in .*Read-only file system; set data\.root"
    ):
        prepare(source, tmp_path)


def test_an_accepted_copy_is_not_used_once_it_must_be_verified(tmp_path):
    write_idx_set(tmp_path / "MNIST" / "raw")
    prepare(IdxFiles("mnist", str(tmp_path), False, "MNIST"), tmp_path)
    strict = IdxFiles("mnist", str(tmp_path), True, "MNIST")
    assert prepared_info(strict, tmp_path) is None
    with pytest.raises(DataError, match=r"MD5 .* expected"):
        prepare(strict, tmp_path)


def test_an_accepted_copy_is_warned_of(tmp_path):
    write_idx_set(tmp_path / "MNIST" / "raw")
    info = prepare(IdxFiles("mnist", str(tmp_path), False, "MNIST"), tmp_path).info
    assert info.verified is False
    (warning,) = info.warnings()
    assert "mnist is NOT the official copy" in warning
    assert "data.verify=false" in warning


@pytest.mark.process
def test_of_two_processes_one_prepares_and_the_other_waits(mine, tmp_path):
    processes = [start_slow_prepare(mine, tmp_path / "root", tmp_path / "log", 0.5) for _ in range(2)]
    first, second = (process.communicate(timeout=30)[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert first.splitlines()[-1] == second.splitlines()[-1] != ""
    assert (tmp_path / "log").read_text() == "read\n"


@pytest.mark.process
def test_a_process_killed_while_it_prepares_leaves_no_trace(mine, tmp_path):
    process = start_slow_prepare(mine, tmp_path / "root", tmp_path / "log", 60)
    deadline = time.monotonic() + 30
    while not (tmp_path / "log").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    half_written = list((tmp_path / "root" / "prepared").glob(".*.new/*"))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert half_written
    process = start_slow_prepare(mine, tmp_path / "root", tmp_path / "log", 0)
    sha256, _ = process.communicate(timeout=30)
    assert sha256.split()[-1] == prepare(mine, tmp_path).info.sha256
    (folder,) = (path for path in (tmp_path / "root" / "prepared").iterdir() if path.is_dir())
    assert not folder.name.startswith(".")


class Broken(Source):
    """A source that fails while its images are read."""

    def settings(self):
        return ()

    def fingerprint(self):
        return "always"

    def image_shape(self):
        return (2, 2, 1)

    def load(self):
        class Images:
            shape = (3, 2, 2, 1)

            def __getitem__(self, part):
                raise DataError("third.png is broken")

        images = random_images(0, 3, 2, 2, 1)
        return RawData("nowhere", None, ("a", "b", "c"), Images(), labels_of(3), images, labels_of(3))


def test_a_source_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(DataError, match=r"third\.png is broken"):
        prepare(Broken("broken"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_root_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"data\.root=.*file cannot be made: File exists; set data\.root=PATH"):
        prepare(Digits("digits"), tmp_path / "file")


def test_a_result_keeps_what_the_data_were(mine, tmp_path):
    info = prepare(mine, tmp_path).info
    kept = json.loads(json.dumps(info.provenance()))
    assert kept["class_names"] == ["0", "1", "2"]
    assert (kept["name"], kept["sha256"], kept["verified"]) == ("mine", info.sha256, None)
    assert (kept["train_size"], kept["test_size"], kept["duplicates"], kept["remarks"]) == (20, 10, 0, [])


def test_everything_is_on_the_disk_before_it_has_its_name(mine, tmp_path, monkeypatch):
    # What a power cut may leave: whatever was synced before it, in this order.
    events, fsync, rename = [], os.fsync, Path.rename
    monkeypatch.setattr(
        os, "fsync", lambda file: (events.append(Path(os.readlink(f"/proc/self/fd/{file}"))), fsync(file))
    )
    monkeypatch.setattr(
        Path, "rename", lambda path, target: (events.append(("renamed", path, target)), rename(path, target))
    )
    prepare(mine, tmp_path)
    folder = prepared_folder(mine, tmp_path)
    new = folder.with_name(f".{folder.name}.new")
    files = ["train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy", "meta.json"]
    assert events == [*(new / name for name in files), new, ("renamed", new, folder), folder.parent]
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
