"""Folders that are somebody's own, full or read-only: nothing is lost, and a run says in one line what is wrong."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from cells import SMALL_MLP, evaluate, results, run, start
from disks import read_only, resize, small_disk

from softvq.run_folder import RunFolder

CELL = ("data=digits", "bottleneck=identity", *SMALL_MLP)
FASTER = (*CELL, "optimizer.lr=0.01")
OFTEN = ("trainer.checkpoint_after_s=0", "trainer.checkpoint_every_s=0", "trainer.checkpoint_time_fraction=0")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a cell that nothing happened to; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, *CELL)
    return folder


@pytest.fixture(scope="module")
def faster(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The numbers of that cell with another learning rate."""
    return run(tmp_path_factory.mktemp("faster"), *FASTER)


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# --- somebody's own


@pytest.mark.parametrize("resume", ["auto", "never"])
@pytest.mark.parametrize("others", [{}, {"config.yaml": "title: thesis\n", "checkpoints/last.ckpt": "another's"}])
def test_a_folder_of_somebodys_own_files_is_refused_and_left_as_it_is(
    resume: str, others: dict[str, str], tmp_path: Path
) -> None:
    for name, text in {"figures/thesis.pdf": "years of work", **others}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = files_of(tmp_path)
    for _ in range(2):  # the first refusal leaves nothing that would make it a run's folder
        outcome = start(tmp_path, *CELL, f"resume={resume}")
        assert outcome.status == "failed"
        assert "holds files that are no run's" in outcome.message
        assert "figures/thesis.pdf" in outcome.message or others
        assert files_of(tmp_path) == before


def test_starting_over_leaves_somebodys_own_files_in_a_runs_folder(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    own = {"figures/thesis.pdf": b"years of work", "notes.md": b"ideas", "checkpoints/best.ckpt": b"kept by hand"}
    for name, content in own.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    run(tmp_path, *FASTER, "resume=never")
    assert own.items() <= files_of(tmp_path).items()


@pytest.mark.parametrize("name", ["metrics.json", "metrics.csv", "config.yaml", ".lock"])
def test_a_folder_in_a_files_place_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir(parents=True)
    outcome = start(tmp_path, *CELL)
    assert outcome.status == "failed"
    assert Path(name).name in outcome.message
    assert len(outcome.message.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("allowed", range(0, 8))
def test_starting_over_that_is_killed_never_gives_old_numbers_a_new_name(
    allowed: int, whole: Path, faster: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "latents.npz").write_text("of the old run")
    unlink, removed = Path.unlink, []

    def counted(self: Path, missing_ok: bool = False) -> None:
        if self.exists() and self.is_relative_to(tmp_path):
            if len(removed) == allowed:
                raise KeyboardInterrupt
            removed.append(self.name)
        unlink(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", counted)
        try:
            outcome = start(tmp_path, "resume=never", *FASTER)
        except KeyboardInterrupt:
            outcome = None
    if outcome is None:
        outcome = start(tmp_path, *FASTER)
    if outcome.status == "failed":  # all of the old run is there still, or its results are
        assert "optimizer.lr: 0.0003 -> 0.01" in outcome.message
        assert metrics_of(tmp_path)["config_hash"] == metrics_of(whole)["config_hash"]
        outcome = start(tmp_path, "resume=never", *FASTER)
    assert outcome.status == "finished"
    assert results(metrics_of(tmp_path)) == results(faster)
    assert not (tmp_path / "latents.npz").exists()


def test_a_log_that_cannot_be_written_is_told_of_and_costs_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.log").mkdir()
    assert start(tmp_path, *CELL).status == "finished"
    assert f"{tmp_path / 'run.log'} cannot be written: Is a directory" in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["a pipe", "a link to somebody's file"])
def test_a_log_is_written_into_a_file_of_its_own_alone(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    thesis, log = tmp_path / "thesis.txt", tmp_path / "run" / "run.log"
    thesis.write_text("years of work")
    run(log.parent, *CELL)
    (log.parent / "metrics.json").unlink()
    log.unlink()
    if kind == "a pipe":
        os.mkfifo(log)
    else:
        log.symlink_to(thesis)
    assert start(log.parent, *CELL).status == "finished"
    assert f"{log} cannot be written: " in capfd.readouterr().err
    assert thesis.read_text() == "years of work"


@pytest.mark.parametrize("name", ["metrics.json", "failure.json", "latents.npz", "checkpoints", "figures"])
def test_a_link_to_nothing_is_named_before_anything_is_trained(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("/nowhere/at/all")
    outcome = start(tmp_path, *CELL)
    assert outcome.message.startswith(f"ValueError: {tmp_path / name} is a link to nothing, and a run has a fi") or (
        f"{name} is a link to nothing, and a run has a folder there" in outcome.message
    )


def test_a_run_that_lost_its_configuration_is_still_a_runs_folder(tmp_path: Path) -> None:
    expected = results(run(tmp_path, *CELL))
    (tmp_path / "metrics.json").unlink()
    (tmp_path / "config.yaml").write_bytes(b"")
    assert "config.yaml is damaged or no run's: it holds no mapping" in start(tmp_path, *CELL).message
    assert results(run(tmp_path, *CELL, "resume=never")) == expected


def test_a_run_that_was_killed_at_its_very_first_file_begins_again(tmp_path: Path) -> None:
    (tmp_path / ".config.yaml.4018").write_text("seed: 0")
    assert start(tmp_path, *CELL).status == "finished"
    assert not (tmp_path / ".config.yaml.4018").exists()


def test_what_lightning_would_take_from_the_environment_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = results(run(tmp_path / "plain", *CELL))
    monkeypatch.setenv("PL_TRAINER_FAST_DEV_RUN", "True")
    monkeypatch.setenv("PL_TRAINER_GRADIENT_CLIP_VAL", "0.00001")
    assert results(run(tmp_path / "run", *CELL)) == expected
    assert "PL_TRAINER_FAST_DEV_RUN of the environment is left out" in capfd.readouterr().err


# --- full


@pytest.mark.slow
@pytest.mark.parametrize("target", ["last.ckpt", "metrics.csv", "metrics.json", "config.yaml"])
def test_a_disk_that_is_full_at_any_file_is_one_line_and_the_run_goes_on_when_there_is_room(
    target: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open
    write_text = Path.write_text

    def fails(path: Path, mode: str) -> bool:
        return target in path.name and any(letter in mode for letter in "wa")

    def full(self: Path, mode: str = "r", *arguments: Any, **settings: Any) -> Any:
        if fails(self, mode):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return opened(self, mode, *arguments, **settings)

    def full_text(self: Path, *arguments: Any, **settings: Any) -> int:
        if fails(self, "w"):
            opened(self, "w").close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return write_text(self, *arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        patch.setattr(Path, "write_text", full_text)
        outcome = start(tmp_path, *CELL, *OFTEN)
    assert outcome.status == "failed"
    assert outcome.message.startswith(f"UnwritableError: {tmp_path}")
    assert f"{target} cannot be written: No space left on device; " in outcome.message
    assert len(outcome.message.splitlines()) == 1
    assert not [name for name in files_of(tmp_path) if Path(name).name.startswith(".") and name != ".lock"]
    assert start(tmp_path, *CELL, *OFTEN).status == "finished"
    assert results(metrics_of(tmp_path)) == results(metrics_of(whole))


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [8, 40, 80])
def test_a_small_disk_that_fills_up(
    kilobytes: int, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = (*CELL, *OFTEN, f"data.root={tmp_path}")
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        outcome = start(disk / "run", *settings)
        assert outcome.status == "failed"
        assert "No space left on device" in outcome.message
        said = capfd.readouterr()
        assert "Traceback" not in said.out + said.err
        assert not list(disk.rglob(".*.ckpt*"))
        resize(disk, 10_000)
        assert start(disk / "run", *settings).status == "finished"
        assert results(metrics_of(disk / "run")) == results(metrics_of(whole))


# --- read-only


def test_a_finished_run_on_a_read_only_disk_is_skipped_and_evaluated_elsewhere(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    before = files_of(tmp_path / "run")
    with read_only(tmp_path / "run"):
        assert start(tmp_path / "run", *CELL).status == "skipped"
        assert evaluate(tmp_path / "run", f"out={tmp_path / 'out'}")["probes"] == metrics_of(whole)["probes"]
        outcome = start(tmp_path / "run", *CELL, "seed=1")
        assert outcome.status == "failed"
    assert files_of(tmp_path / "run") == before


def test_an_unfinished_run_on_a_read_only_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with read_only(tmp_path / "runs"):
        outcome = start(tmp_path / "runs" / "new", *CELL)
    assert outcome.status == "failed"
    assert "Read-only file system; choose another folder" in outcome.message
    assert len(outcome.message.splitlines()) == 1


# --- power


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells the name of an open file")
def test_what_a_power_loss_leaves_is_enough_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each rename, all that the run's files were before it must be on the disk: synced since they were written."""
    lost: list[str] = []
    synced: dict[int, int] = {}  # inode -> size at its last sync
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        state = os.fstat(descriptor)
        synced[state.st_ino] = state.st_size
        fsync(descriptor)

    def noted_replace(source: Any, target: Any, **_: Any) -> None:
        target = Path(target)
        if target.is_relative_to(tmp_path / "run"):
            needed = [Path(source)]
            if target.name in ("last.ckpt", "metrics.json"):  # which say that the curve's rows are there
                needed.append(tmp_path / "run" / "metrics.csv")
            if target.name == "metrics.json":
                needed += [*(tmp_path / "run").glob("checkpoints/*"), tmp_path / "run" / "config.yaml"]
            for file in needed:
                if file.exists() and synced.get(file.stat().st_ino) != file.stat().st_size:
                    lost.append(f"{file.name} when {target.name} took its name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, noted_replace)
    monkeypatch.setattr("softvq.data.chunks.MAX_CHUNK_STEPS", 1)
    outcome = start(tmp_path / "run", *CELL, *OFTEN, "trainer.log_every_n_steps=1", "trainer.max_steps=6")
    assert outcome.status == "finished"
    assert not lost
    assert len(synced) > 5
    assert RunFolder(tmp_path / "run").checkpoint.stat().st_ino in synced
