"""Files that somebody else may have written: read where they are harmless, refused in a moment where they are not."""

import json
import os
import time

import pytest
import yaml

from softvq.bounded_files import (
    DEEPEST,
    MOST_VALUES,
    UnreadableFileError,
    printable,
    printable_values,
    read_bytes,
    read_json,
    read_text,
    read_yaml,
)

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_what_a_run_writes_comes_back(tmp_path):
    content = {"seed": 0, "lr": 3.0e-4, "name": "données", "hidden": [500, 2000], "none": None, "deep": {"yes": True}}
    path = tmp_path / "file"
    path.write_text(json.dumps(content))
    assert read_json(path) == content
    path.write_text(yaml.safe_dump(content))
    assert read_yaml(path) == content
    (tmp_path / "link").symlink_to(path)
    assert read_yaml(tmp_path / "link") == content


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "alias"),
        ("x: 2026-01-01", "it holds a date"),
        ("x: {y: [2026-01-01T10:00:00Z]}", "it holds a datetime"),
        ("x: !!binary aGVsbG8=", "it holds a bytes"),
        ("x: !!set {a, b}", "it holds a set"),
        ("x: {null: 2}", "it names an entry by what is neither"),
        ("? [a, b]\n: 1", "unhashable|neither text nor a number"),
        ("a: &a [*a]", "alias"),
        ("&a {k: *a}", "alias"),
        ("[" * 10_000, "nested"),
        ("a: " + "{b: " * 10_000, "nested"),
        ("- " * (DEEPEST + 2) + "x", "nested"),
        ("[" + "a," * (MOST_VALUES + 1) + "]", "values"),
        ("#" * (2**20 + 1), "bytes"),
        ("a: [1", "line"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("2001-99-99", "month"),
        ("{[1]: 2}", "unhashable"),
        ("a: 1\n---\nb: 2", "document"),
        ("1" * 5000, "digits"),
        ("\0", "unacceptable character|special characters"),
    ],
)
def test_yaml_that_no_run_writes_is_refused_in_a_moment(tmp_path, text, reason):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    start = time.perf_counter()
    with pytest.raises(UnreadableFileError, match=reason) as caught:
        read_yaml(path)
    assert time.perf_counter() - start < 5
    assert "\n" not in caught.value.reason
    assert str(tmp_path) not in caught.value.reason
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested"),
        ("[" + "1," * MOST_VALUES + "1]", "values"),
        ('{"a": NaN}', "not finite"),
        ('{"a": [-Infinity]}', "not finite"),
        ('{"a": 1e999}', "not finite"),
        (f'{{"a": 1{"0" * 400}}}', "not finite"),
        (f'{{"a": 1{"0" * 5000}}}', "digits"),
        ('{"status": "fin', "Unterminated"),
        ("", "Expecting value"),
    ],
)
def test_json_that_no_run_writes_is_refused(tmp_path, text, reason):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(UnreadableFileError, match=reason):
        read_json(path)


def test_the_deepest_that_is_allowed_is_read(tmp_path):
    path = tmp_path / "file"
    path.write_text("[" * DEEPEST + "]" * DEEPEST)
    assert read_json(path) == read_yaml(path)


def test_only_regular_files_are_opened_for_reading(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    reasons = {"pipe": "it is no regular file", "folder": "it is a folder", "zero": "it is no regular file"}
    for name, reason in {**reasons, "loop": "Too many levels of symbolic links"}.items():
        for read in (read_bytes, read_text, read_json, read_yaml):
            with pytest.raises(UnreadableFileError) as caught:
                read(tmp_path / name)
            assert caught.value.reason == reason


def test_a_missing_file_is_no_damaged_one(tmp_path):
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("absent", "dangling"):
        with pytest.raises(FileNotFoundError):
            read_json(tmp_path / name)


def test_a_file_is_read_to_its_bound_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("12345")
    assert read_text(path, largest=5) == "12345"
    with pytest.raises(UnreadableFileError, match="more than 4 bytes"):
        read_text(path, largest=4)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UnreadableFileError, match="UTF-8"):
        read_text(path)


def test_printable_text_cannot_move_a_cursor_or_begin_a_line():
    hostile = "\x1b[2Jname\r\n\x9b31m\u202e\ud800\t\x07"
    shown = printable(hostile)
    assert shown.isprintable()
    assert shown.encode()
    assert "name" in shown
    plain = "Zahlen ω, 数字, naïve: 100 % ± β"
    assert printable(plain) == plain
    assert printable_values({hostile: [hostile, 1, None]}) == {shown: [shown, 1, None]}
