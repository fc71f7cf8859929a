"""The files of a run folder: written whole or not at all, removed only if a run wrote them."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from softvq.run_folder import RunFolder, UnwritableError, refuse_foreign, whole, write_json, write_text

CONFIG = "seed: 0\nresult_settings:\n  seed: 0\n"


def fill(path: Path) -> RunFolder:
    """A run folder with every file that a run may write, and one of somebody's own in each place."""
    folder = RunFolder(path)
    folder.checkpoints.mkdir(parents=True)
    folder.figures.mkdir()
    folder.evaluations.mkdir()
    folder.config.write_text(CONFIG)
    folder.metrics.write_text('{"config_hash": "a"}')
    folder.curve.write_text("step\n")
    folder.log.write_text("2026-01-01 00:00:00 train.py seed=0\n")
    (folder.evaluations / "fast-z_e-digits.json").write_text('{"config_hash": "a"}')
    for file in (
        folder.failure,
        folder.latents,
        folder.checkpoint,
        folder.checkpoints / "previous.ckpt",
        folder.figures / "tsne.png",
        folder.figures / "captions.md",
        folder.evaluations / "fast-z_e-digits.npz",
    ):
        file.write_text("a run's")
    for own in ("notes.md", "figures/thesis.pdf", "checkpoints/best.ckpt", "evaluations/my-own-idea.json"):
        (folder.path / own).write_text("somebody's")
    return folder


def files_of(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


OWN = ["checkpoints/best.ckpt", "evaluations/my-own-idea.json", "figures/thesis.pdf", "notes.md"]


def test_starting_over_removes_what_runs_write_and_nothing_else(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    folder.start_over()
    assert files_of(tmp_path) == [*OWN, "run.log"]


def interrupt_after(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    """Lets so many files be removed, then ends the process, as it were."""
    removed: list[str] = []
    unlink = Path.unlink

    def counted(self: Path, missing_ok: bool = False) -> None:
        if self.exists():
            if len(removed) == allowed:
                raise KeyboardInterrupt
            removed.append(self.name)
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", counted)


@pytest.mark.parametrize("allowed", range(11))
def test_wherever_starting_over_is_interrupted_no_result_outlives_its_configuration(
    allowed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path)
    with monkeypatch.context() as patch:
        interrupt_after(patch, allowed)
        with pytest.raises(KeyboardInterrupt):
            folder.start_over()
    results = [folder.checkpoint, folder.checkpoints / "previous.ckpt", folder.metrics, folder.latents, folder.curve]
    results += [folder.figures / "tsne.png", *folder.evaluations.glob("fast*")]
    assert folder.config.exists() or not any(file.exists() for file in results)
    if folder.metrics.exists():
        assert folder.config.read_text() == CONFIG
    folder.check_own()
    folder.start_over()
    assert files_of(tmp_path) == [*OWN, "run.log"]


@pytest.mark.parametrize(
    "files",
    [
        {"figures/thesis.pdf": "mine"},
        {"config.yaml": "title: my thesis\n", "figures/thesis.pdf": "mine"},
        {"metrics.json": '{"accuracy": 1}', "notes.md": "mine"},
        {"checkpoints/last.ckpt": "another project's"},
        {"run.log": "another program's\n"},
        {"metrics.csv": "epoch,loss\n"},
        {"failure.json": "{}"},
    ],
)
def test_a_folder_of_somebodys_own_files_is_no_runs(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r"holds files that are no run's \('.*choose an empty or a new folder"):
        RunFolder(tmp_path).check_own()


@pytest.mark.parametrize(
    "files",
    [
        {},
        {".lock": ""},
        {"tensorboard/events": "x", "run.log": "2026-01-01 00:00:00 train.py\n"},
        {"config.yaml": CONFIG, "figures/thesis.pdf": "mine"},
        {"config.yaml": "", "metrics.json": "", ".lock": "", "run.log": ""},  # after a power loss
        {"failure.json": '{"error": "x", "traceback": []}'},
    ],
)
def test_a_folder_that_is_empty_or_certainly_a_runs_will_do(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    RunFolder(tmp_path).check_own()
    RunFolder(tmp_path / "absent").check_own()


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ValueError, match=r"config\.yaml is no file"):
        RunFolder(tmp_path).check_own()


def test_only_half_files_of_killed_processes_are_tidied_away(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    for half in (".config.yaml.123", "checkpoints/.last.ckpt.7", ".metrics.csv.99"):
        (tmp_path / half).write_text("half")
    for own in (".notes.2", ".config.yaml.backup", "checkpoints/.best.ckpt.1"):
        (tmp_path / own).write_text("somebody's")
    before = files_of(tmp_path)
    folder.remove_partial()
    assert set(before) - set(files_of(tmp_path)) == {".config.yaml.123", "checkpoints/.last.ckpt.7", ".metrics.csv.99"}


# --- writing


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
    assert files_of(tmp_path) == ["config.yaml"]


def test_other_errors_stay_what_they_are_and_leave_nothing_half(tmp_path: Path) -> None:
    def write() -> None:
        with whole(tmp_path / "a") as partial:
            partial.write_text("ne")
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        write()
    assert files_of(tmp_path) == []


MARKS = {"config.json": rb'\{"library": "softvq"', "README.md": rb"---\s*library: softvq", "weights": None}
OURS = {"config.json": '{"library": "softvq"}', "README.md": "---\nlibrary: softvq", "weights": "x"}


@pytest.mark.parametrize(
    ("there", "refused"),
    [
        ({}, ""),
        (OURS, ""),
        ({"config.json": OURS["config.json"]}, ""),  # an export that was interrupted
        ({"config.json": "", "README.md": ""}, ""),
        ({"notes.md": "somebody's"}, ""),
        ({**OURS, "README.md": "# My project"}, "README.md"),
        ({"weights": "somebody's"}, "weights"),
        ({"config.json": "{}", "weights": "somebody's"}, "config.json, weights"),
    ],
)
def test_only_what_softvq_has_written_is_overwritten(there: dict[str, str], refused: str, tmp_path: Path) -> None:
    for name, text in there.items():
        (tmp_path / name).write_text(text)
    files = {tmp_path / name: mark for name, mark in MARKS.items()}
    if not refused:
        refuse_foreign(files)
        return
    with pytest.raises(ValueError, match=f"{tmp_path} holds {refused} of somebody's own"):
        refuse_foreign(files)


@pytest.mark.parametrize("kind", ["pipe", "dangling", "folder"])
def test_what_is_no_file_is_never_taken_for_one_of_softvqs(kind: str, tmp_path: Path) -> None:
    make = {"pipe": os.mkfifo, "dangling": lambda path: path.symlink_to("nowhere"), "folder": Path.mkdir}[kind]
    make(tmp_path / "config.json")
    with pytest.raises(ValueError, match=r"config\.json of somebody's own"):
        refuse_foreign({tmp_path / "config.json": MARKS["config.json"]})


@pytest.mark.parametrize(
    "name", ["metrics.json", "figures/tsne.png", "figures/curve.pdf", "evaluations/fast-z_e-x.json"]
)
def test_what_a_killed_process_had_not_written_whole_is_removed(name: str, tmp_path: Path) -> None:
    folder = fill(tmp_path)
    place = tmp_path / name
    partial, own = place.with_name(f".{place.name}.123"), place.with_name(".notes.123")
    for file in (partial, own):
        file.write_text("half")
    folder.remove_partial()
    assert not partial.exists()
    assert own.exists()
