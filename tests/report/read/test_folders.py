"""Run folders are found at any depth and behind links, each once."""

import pytest
from report_runs import write_json, write_run, write_text

from softvq.report.read.collection import collect
from softvq.report.read.folders import run_folders


def touch(folder):
    write_text(folder / "config.yaml", "")
    return folder


def names(*roots):
    return [name for _, name in run_folders(roots)]


def test_what_lies_inside_a_run_is_no_run(tmp_path):
    folder = touch(tmp_path / "run")
    write_json(folder / "evaluations" / "metrics.json", {})
    touch(folder / "wandb" / "files")
    touch(tmp_path / ".hidden" / "run")
    assert names(tmp_path) == ["run"]


def test_several_roots_are_told_apart_and_overlapping_ones_count_once(tmp_path):
    for place in ("a/logs/x/run", "b/logs/run", "a/logs/x/other"):
        touch(tmp_path / place)
    roots = (tmp_path / "a/logs", tmp_path / "b/logs", tmp_path / "a/logs/x/run")
    assert names(*roots) == ["logs/x/other", "logs/x/run", "logs-2/run"]


def test_links_are_followed_once_and_lead_neither_up_nor_in_circles(tmp_path):
    touch(tmp_path / "scratch" / "moved" / "seed-0")
    touch(tmp_path / "neighbour")
    logs = touch(tmp_path / "logs" / "here").parent
    (logs / "moved").symlink_to(tmp_path / "scratch" / "moved")
    (logs / "again").symlink_to(tmp_path / "scratch" / "moved")
    (logs / "circle").symlink_to(logs)
    (logs / "up").symlink_to(tmp_path)
    (logs / "root").symlink_to("/")
    (logs / "here" / "self").symlink_to(logs / "here")
    (logs / "dangling").symlink_to("nowhere")
    assert names(logs) == ["again/seed-0", "here"]


def test_a_root_may_be_a_link(tmp_path):
    touch(tmp_path / "scratch" / "run")
    (tmp_path / "logs").symlink_to("scratch")
    assert names(tmp_path / "logs") == ["run"]


def test_a_missing_root_is_an_error_that_names_it_and_nothing_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder of runs at"):
        names(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_names_of_folders_reach_nobody_with_control_characters(tmp_path):
    write_run(tmp_path / "a\x1b[2J\n\u202eb")
    (run,) = collect([tmp_path]).runs
    assert run.folder.isprintable()
    assert run.path.is_dir()
