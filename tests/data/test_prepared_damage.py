"""Prepared sets that were damaged or altered afterwards: none is used, and each is prepared again."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from softvq.data.prepared import prepare, prepared_folder, prepared_info


@pytest.mark.parametrize("file", ["train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"])
@pytest.mark.parametrize("damage", ["truncate", "delete", "pipe"])
def test_a_damaged_prepared_file_is_not_used(mine, tmp_path, file, damage):
    expected = prepare(mine, tmp_path)
    path = prepared_folder(mine, tmp_path) / file
    content = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
        if damage == "pipe":
            os.mkfifo(path)
    assert prepared_info(mine, tmp_path) is None
    found = prepare(mine, tmp_path)
    assert path.read_bytes() == content
    assert found.info == expected.info


@pytest.mark.parametrize("file", ["train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"])
@pytest.mark.parametrize("restored", [False, True])
def test_a_prepared_file_altered_at_equal_size_and_time_is_not_used(mine, tmp_path, caplog, file, restored):
    expected = prepare(mine, tmp_path)
    path = prepared_folder(mine, tmp_path) / file
    content, before = path.read_bytes(), path.stat()
    with path.open("r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        opened.write(bytes([content[-1] ^ 1]))
    if restored:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = prepare(mine, tmp_path)
    assert path.read_bytes() == content
    assert found.info == expected.info
    assert [record.message for record in caplog.records] == [
        f"{path.parent} was altered after it was prepared; it is prepared again"
    ]


@pytest.mark.process
@pytest.mark.parametrize("file", ["train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"])
def test_every_process_compares_what_it_uses_with_the_sha256(mine, tmp_path, file, monkeypatch):
    # What no time of any kind tells, as a disk that lost a bit.
    prepare(mine, tmp_path)
    path = prepared_folder(mine, tmp_path) / file
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    code = f"""
        from softvq.data import prepared
        from softvq.data.array_files import ArrayFiles

        prepared.prepare(ArrayFiles("mine", {str(mine.dir)!r}), {str(tmp_path)!r})
    """
    found = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True)
    assert "was altered after it was prepared" in found.stderr
    assert path.read_bytes() == content


def test_what_was_compared_once_is_not_read_again_by_the_same_process(mine, tmp_path, monkeypatch):
    prepare(mine, tmp_path)
    monkeypatch.setattr("softvq.data.prepared.Content", lambda: pytest.fail("read again"))
    prepare(mine, tmp_path)


@pytest.mark.parametrize("key", ["sha256", "pixel_counts", "class_names", "train_size"])
def test_an_altered_description_is_not_believed(mine, tmp_path, key):
    info = prepare(mine, tmp_path).info
    path = prepared_folder(mine, tmp_path) / "meta.json"
    content = json.loads(path.read_text())
    value = content["info"][key]
    content["info"][key] = value[::-1] if isinstance(value, str | list) else value + 1
    path.write_text(json.dumps(content))
    assert prepared_info(mine, tmp_path) is None
    assert prepare(mine, tmp_path).info == info


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 0}', '{"format": 2, "checksum": ""}'])
def test_a_damaged_description_is_written_again(mine, tmp_path, content):
    info = prepare(mine, tmp_path).info
    (prepared_folder(mine, tmp_path) / "meta.json").write_text(content)
    assert prepared_info(mine, tmp_path) is None
    assert prepare(mine, tmp_path).info == info
