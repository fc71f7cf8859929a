"""What Weights & Biases has of a run, with a server and without."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from omegaconf import OmegaConf
from sessions import STEPS, run, run_interrupted, run_killed
from wandb_files import records, values
from wandb_server import KEY, Server, wandb_server

from softvq.run_folder import RunFolder
from softvq.tracking.curve import read_curve
from softvq.tracking.wandb import OfflineTracker, OnlineTracker, run_id, tracker


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
