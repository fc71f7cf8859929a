"""Where the curve and the results of a run go: metrics.csv, TensorBoard, Weights & Biases."""

import csv
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cells
import pytest
import wandb
from cells import SMALL_MLP
from lightning.pytorch.loggers.logger import Logger
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb_files import records, values
from wandb_server import Server, wandb_server

from softvq.run_folder import RunFolder
from softvq.tracking.curve import CurveLogger, read_curve
from softvq.tracking.tracker import Tolerant, Tracker
from softvq.tracking.wandb import OfflineTracker, OnlineTracker, run_id, tracker
from softvq.training.checkpoint import ResumeCheckpoint

SMALL = (
    "data=digits",
    "bottleneck=soft_vq",
    "bottleneck.K=8",
    *SMALL_MLP,
    "trainer.max_steps=40",
    "trainer.log_every_n_steps=5",
    "trainer.checkpoint_after_s=0",
    "trainer.checkpoint_every_s=0",
    "trainer.checkpoint_time_fraction=0",
)
STEPS = list(range(5, 41, 5))
KEY = 40 * "a"


class KilledError(BaseException):
    """Stands for the end of a session."""


def run(folder: Path, *overrides: str, figures: bool = False) -> dict[str, Any]:
    return cells.run(folder, *SMALL, *overrides, figures=figures)


def run_killed(folder: Path, *overrides: str, after: int = 0, saved: int = 40) -> None:
    """A session that ends once `after` steps are trained; checkpoints up to step `saved`."""
    save = ResumeCheckpoint.on_train_batch_end

    def stop(self: ResumeCheckpoint, trainer: Any, *args: Any) -> None:
        if trainer.global_step <= saved:
            save(self, trainer, *args)
        if trainer.global_step >= after:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResumeCheckpoint, "on_train_batch_end", stop)
        with pytest.raises(KilledError):
            run(folder, *overrides)


def run_interrupted(folder: Path, *overrides: str, figures: bool = False) -> dict[str, Any]:
    """A session that ends with rows logged behind its last checkpoint, and a second one to the end."""
    run_killed(folder, *overrides, after=25, saved=15)
    assert [row["step"] for row in read_curve(folder / "metrics.csv")] == STEPS[:5]
    return run(folder, *overrides, figures=figures)


class TestCurve:
    def test_each_row_can_be_read_as_soon_as_it_is_logged(self, tmp_path: Path) -> None:
        curve = CurveLogger(tmp_path / "metrics.csv")
        for step in (1, 2, 3):
            curve.log_metrics({"train/loss": 1 / step, "epoch": 0.0}, step)
            with curve.path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            assert [float(row["train/loss"]) for row in rows] == [1 / s for s in range(1, step + 1)]
            assert list(rows[0]) == ["step", "train/loss"]

    def test_lines_end_alike(self, tmp_path: Path) -> None:
        curve = CurveLogger(tmp_path / "metrics.csv")
        for step in (1, 2, 3):
            curve.log_metrics({"train/loss": 0.5}, step)
        assert curve.path.read_bytes() == b"step,train/loss\n1,0.5\n2,0.5\n3,0.5\n"

    def test_a_new_metric_becomes_the_last_column(self, tmp_path: Path) -> None:
        curve = CurveLogger(tmp_path / "metrics.csv")
        curve.log_metrics({"train/loss": 1.0}, 1)
        curve.log_metrics({"train/loss": 2.0}, 2)
        curve.log_metrics({"val/loss": 3.0}, 2)
        curve.log_metrics({"train/loss": 4.0}, 3)
        assert curve.path.read_text() == "step,train/loss,val/loss\n1,1.0,\n2,2.0,3.0\n3,4.0,\n"

    def test_the_first_row_of_a_session_cuts_later_ones_off(self, tmp_path: Path) -> None:
        first = CurveLogger(tmp_path / "metrics.csv")
        for step in (10, 20, 30):
            first.log_metrics({"train/loss": float(step)}, step)
        second = CurveLogger(tmp_path / "metrics.csv")
        second.log_metrics({"train/loss": 0.25}, 20)
        assert second.path.read_text() == "step,train/loss\n10,10.0\n20,0.25\n"

    def test_a_line_that_a_kill_cut_short_does_not_count(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.csv"
        path.write_text("step,train/loss\n10,1.0\n2")  # of 20
        CurveLogger(path).log_metrics({"train/loss": 2.0}, 20)
        assert path.read_text() == "step,train/loss\n10,1.0\n20,2.0\n"

    def test_validation_columns_stay_where_they_were_after_an_interruption(self, tmp_path: Path) -> None:
        overrides = ("data.val_fraction=0.1", "trainer.val_every_n_steps=10")
        run(tmp_path / "whole", *overrides)
        run_interrupted(tmp_path / "broken", *overrides)
        assert (tmp_path / "broken" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()

    def test_a_run_without_steps_has_a_curve_without_rows(self, tmp_path: Path) -> None:
        curve = CurveLogger(tmp_path / "metrics.csv")
        curve.finish({}, RunFolder(tmp_path))
        assert curve.path.read_text() == "step\n"
        assert read_curve(curve.path) == []


class TestTolerant:
    def test_a_tracker_that_fails_is_told_of_and_left_out(self, tmp_path: Path) -> None:
        class Failing(Tracker):
            calls = 0
            name = "failing"

            def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
                self.calls += 1
                raise OSError("no space")

            def finish(self, metrics: Any, folder: RunFolder) -> None:
                raise ConnectionError("gone")

        told: list[str] = []
        failing = Failing()
        shield: Logger = Tolerant(failing, told.append)
        shield.log_metrics({"a": 1.0}, 1)
        shield.log_metrics({"a": 1.0}, 2)
        shield.finalize("success")
        assert isinstance(shield, Tracker)
        shield.finish({}, RunFolder(tmp_path))
        assert failing.calls == 1
        assert [message.split(": ", 1)[1] for message in told] == ["OSError: no space", "ConnectionError: gone"]
        assert "logger=failing" in told[0]


def test_tensorboard_holds_one_curve_of_an_interrupted_run_and_its_results(tmp_path: Path) -> None:
    metrics = run_interrupted(tmp_path, "logger=tensorboard", figures=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    loss = events.Scalars("train/loss")
    assert [event.step for event in loss] == STEPS
    expected = [row["train/loss"] for row in read_curve(tmp_path / "metrics.csv")]
    assert [event.value for event in loss] == pytest.approx(expected, rel=1e-6)
    nmi = events.Scalars("probes/clustering_nmi")
    assert [(event.step, event.value) for event in nmi] == [(40, pytest.approx(metrics["probes"]["clustering_nmi"]))]
    assert events.Tags()["images"] == sorted(f"figures/{file.stem}" for file in (tmp_path / "figures").glob("*.png"))


@pytest.fixture
def no_login(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """W&B as on a machine where nobody ever logged in."""
    home = tmp_path_factory.mktemp("home")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def finished(tmp_path: Path) -> RunFolder:
    """Enough of a run's folder to start a tracker."""
    config = {
        "experiment_name": "runs",
        "data": {"name": "digits"},
        "choices": {"bottleneck": "vq"},
        "result_settings": {"seed": 0},
    }
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    return RunFolder(tmp_path)


def offline_run(folder: Path) -> Path:
    (found,) = folder.glob("wandb/offline-run-*")
    (file,) = found.glob("run-*.wandb")
    return file


@pytest.mark.process  # of W&B's own
@pytest.mark.usefixtures("no_login")
class TestOffline:
    def test_an_interrupted_run_leaves_one_whole_run(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = tmp_path / "cell"
        tagged = ("logger.tags=[first,second]", "experiment_name=trial")
        metrics = run_interrupted(folder, "logger=wandb", *tagged, figures=True)
        said = capsys.readouterr().out
        assert "wandb: offline (no login" in said
        file = offline_run(folder)
        assert f"wandb sync {file.parent}" in said

        found = list(records(file))
        (about,) = [record.run for record in found if record.WhichOneof("record_type") == "run"]
        settings = values(about.config.update)
        assert (about.run_group, about.project, list(about.tags)) == ("trial", "softvq", ["first", "second"])
        assert about.display_name == "trial/digits/soft_vq/cell"
        assert about.run_id == run_id("trial", RunFolder(folder), metrics["config_hash"])
        assert settings["config_hash"] == metrics["config_hash"]
        assert settings["bottleneck"]["K"] == 8

        rows = [values(record.history.item) for record in found if record.WhichOneof("record_type") == "history"]
        assert [row["_step"] for row in rows] == STEPS
        assert [row["train/loss"] for row in rows] == [row["train/loss"] for row in read_curve(folder / "metrics.csv")]
        assert {name.split("/")[1] for name in rows[-1] if name.startswith("figures")} == {
            file.stem for file in (folder / "figures").glob("*.png")
        }
        summary = {
            name: value
            for record in found
            if record.WhichOneof("record_type") == "summary"
            for name, value in values(record.summary.update).items()
        }
        for name, value in metrics["probes"].items():
            assert summary[f"probes/{name}"] == value
        (artifact,) = [record.artifact for record in found if record.WhichOneof("record_type") == "artifact"]
        assert [Path(part.local_path) for part in artifact.manifest.contents] == [RunFolder(folder).checkpoint]
        assert found[-1].WhichOneof("record_type") == "exit"

    def test_starting_over_replaces_the_run(self, tmp_path: Path) -> None:
        run(tmp_path, "logger=wandb", "trainer.max_steps=5")
        first = offline_run(tmp_path)
        run(tmp_path, "logger=wandb", "trainer.max_steps=5", "resume=never")
        assert offline_run(tmp_path).name == first.name

    def test_a_session_that_fails_leaves_no_half_run(self, tmp_path: Path) -> None:
        run_killed(tmp_path, "logger=wandb")
        assert not (tmp_path / "wandb").exists()

    def test_a_server_out_of_reach_means_offline_within_seconds(
        self, finished: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with socket.socket() as taken:  # bound and never listening: refuses
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            monkeypatch.setenv("WANDB_BASE_URL", url)
            monkeypatch.setenv("WANDB_API_KEY", KEY)
            started = time.monotonic()
            found = tracker(finished, "softvq", None, [])
        assert isinstance(found, OfflineTracker)
        assert time.monotonic() - started < 10
        assert f"{url} does not answer" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("name", "value", "reason"),
        [("WANDB_MODE", "offline", "WANDB_MODE=offline"), ("WANDB_API_KEY", "short", "WANDB_API_KEY invalid")],
    )
    def test_the_environment_can_ask_for_it(
        self,
        name: str,
        value: str,
        reason: str,
        finished: RunFolder,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv(name, value)
        assert isinstance(tracker(finished, "softvq", None, []), OfflineTracker)
        assert f"wandb: offline ({reason}" in capsys.readouterr().out

    def test_disabled_means_no_tracker(self, finished: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_MODE", "disabled")
        assert tracker(finished, "softvq", None, []) is None


@pytest.fixture
def server(no_login: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A W&B server with a login."""
    with wandb_server() as running:
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield running
        wandb.teardown()


@pytest.mark.process
class TestOnline:
    def test_an_interrupted_run_stays_one_run_with_every_row_once(self, server: Server, tmp_path: Path) -> None:
        metrics = run_interrupted(tmp_path, "logger=wandb", "logger.entity=somebody", figures=True)
        name = run_id("runs", RunFolder(tmp_path), metrics["config_hash"])
        assert list(server.runs) == [name]
        assert server.resumed == [name]
        assert server.runs[name]["groupName"] == "runs"
        assert [row["_step"] for row in server.history[name]] == STEPS
        assert [row["train/loss"] for row in server.history[name]] == [
            row["train/loss"] for row in read_curve(tmp_path / "metrics.csv")
        ]
        assert server.summary[name]["probes/clustering_nmi"] == metrics["probes"]["clustering_nmi"]
        assert "artifact/last.ckpt" in server.uploads
        assert any(file.startswith("media/images/figures/tsne") for file in server.uploads)
        assert name in server.finished

    def test_a_session_without_the_server_is_caught_up_with(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WANDB_MODE", "offline")
        run_killed(tmp_path, "logger=wandb", after=15)
        monkeypatch.delenv("WANDB_MODE")
        wandb.teardown()
        run(tmp_path, "logger=wandb")
        (rows,) = server.history.values()
        assert [row["_step"] for row in rows] == STEPS

    def test_a_server_that_refuses_means_offline(
        self, server: Server, finished: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise wandb.errors.CommError("permission denied")

        monkeypatch.setattr(wandb, "init", refuse)
        assert isinstance(tracker(finished, "softvq", None, []), OfflineTracker)
        assert "permission denied" in capsys.readouterr().out

    def test_a_run_that_fails_is_marked_so(self, server: Server, tmp_path: Path) -> None:
        run_killed(tmp_path, "logger=wandb")
        assert wandb.run is None
        assert server.finished

    def test_it_is_online(self, server: Server, finished: RunFolder) -> None:
        online = tracker(finished, "softvq", "somebody", ["x"])
        assert isinstance(online, OnlineTracker)
        online.finalize("failed")


def test_sessions_of_a_run_share_an_id_and_other_runs_have_others(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "seed-0")
    assert run_id("runs", folder, "abc") == run_id("runs", RunFolder(tmp_path / "moved" / "seed-0"), "abc")
    others = {
        run_id("runs", folder, "abd"),
        run_id("table_1", folder, "abc"),
        run_id("runs", RunFolder(tmp_path / "seed-1"), "abc"),
    }
    assert len(others - {run_id("runs", folder, "abc")}) == 3
