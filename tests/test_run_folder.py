"""The files of a run folder: removed and overwritten only if a run wrote them."""

import os
from pathlib import Path

import pytest

from softvq.run_folder import RunFolder, refuse_foreign

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
