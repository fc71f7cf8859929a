"""Files are on the disk whole before they take their names, or leave what was there."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from softvq.durable_files import UnwritableError, whole, write_json, write_text


class Disk:
    """Notes in which order files are synced and renamed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[str, ...]] = []
        fsync, replace = os.fsync, os.replace

        def noted_fsync(descriptor: int) -> None:
            self.seen.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
            fsync(descriptor)

        def noted_replace(source: Any, target: Any, **_: Any) -> None:
            self.seen.append(("rename", Path(source).name, Path(target).name))
            replace(source, target)

        monkeypatch.setattr(os, "fsync", noted_fsync)
        monkeypatch.setattr(os, "rename", noted_replace)
        monkeypatch.setattr(os, "replace", noted_replace)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells the name of an open file")
def test_a_file_is_on_the_disk_before_it_takes_its_name_and_its_name_before_anything_follows(
    tmp_path: Path, disk: Disk
) -> None:
    path, partial = tmp_path / "metrics.json", f".metrics.json.{os.getpid()}"
    write_json(path, {"a": 1})
    assert disk.seen == [("sync", partial), ("rename", partial, "metrics.json"), ("sync", tmp_path.name)]
    disk.seen.clear()
    with whole(path, former=tmp_path / "former.json") as written:
        written.write_text("new")
    assert disk.seen == [
        ("sync", partial),
        ("rename", "metrics.json", "former.json"),
        ("rename", partial, "metrics.json"),
        ("sync", tmp_path.name),
    ]
    assert (tmp_path / "former.json").read_text() == '{\n  "a": 1\n}\n'


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def as_torch_says_it(*_: Any, **__: Any) -> None:
    try:
        full()
    except OSError:
        raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 576 vs 534")  # noqa: B904


@pytest.mark.parametrize("fail", [full, as_torch_says_it])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(fail: Callable[[], None], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write_text(path, "old")

    def write() -> None:
        with whole(path, former=tmp_path / "former") as partial:
            partial.write_text("ne")
            fail()

    with pytest.raises(UnwritableError) as caught:
        write()
    assert str(caught.value).startswith(f"{path} cannot be written: No space left on device; ")
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.yaml"]


def test_other_errors_stay_what_they_are_and_leave_nothing_half(tmp_path: Path) -> None:
    def write() -> None:
        with whole(tmp_path / "a") as partial:
            partial.write_text("ne")
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        write()
    assert sorted(file.name for file in tmp_path.iterdir()) == []
