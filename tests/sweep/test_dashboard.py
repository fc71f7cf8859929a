"""A sweep in W&B: what is still to upload, and a workspace and a report of what the tracker really logs."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import wandb
from cells import make_cell
from omegaconf import OmegaConf
from sessions import SMALL, run, run_interrupted
from wandb_files import records, values
from wandb_server import KEY, Server

from softvq.command.dashboard import main
from softvq.config.compose import CONF_DIR
from softvq.run.cell import Cell
from softvq.sweep.dashboard import PANELS, grouping, offline_runs, publish, specification, upload_hint
from softvq.sweep.sweep import run as run_sweep

TRACKED = ("logger=wandb", "experiment_name=trial")

# wandb-workspaces' own, at its import
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style `@validator`:DeprecationWarning")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells of a sweep, tracked offline; one was interrupted and resumed."""
    logs = tmp_path_factory.mktemp("sweep") / "logs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        run_interrupted(cell_folder(logs, 0), *TRACKED, figures=True)
        run(cell_folder(logs, 1), *TRACKED, "seed=1", figures=True)
    wandb.teardown()
    return logs


def cell_folder(logs: Path, seed: int) -> Path:
    return logs / "trial" / "digits" / "soft_vq" / f"seed-{seed}"


def tracked(logs: Path, seed: int) -> tuple[Any, set[str]]:
    """A run as W&B has it, and the names of all its metrics and media."""
    (file,) = cell_folder(logs, seed).glob("wandb/*/*.wandb")
    found = list(records(file))
    (about,) = [record.run for record in found if record.WhichOneof("record_type") == "run"]
    items = [item for record in found for item in [*record.history.item, *record.summary.update]]
    return about, {item.key or item.nested_key[0] for item in items}


@pytest.mark.process
def test_cells_of_a_sweep_are_one_group_and_a_resumed_cell_is_one_run(logs: Path) -> None:
    assert [path.parents[1] for path in offline_runs(logs)] == [cell_folder(logs, 0), cell_folder(logs, 1)]
    runs = [tracked(logs, seed)[0] for seed in (0, 1)]
    assert [run.run_group for run in runs] == ["trial", "trial"]
    assert [run.display_name for run in runs] == ["trial/digits/soft_vq/seed-0", "trial/digits/soft_vq/seed-1"]
    assert len({run.run_id for run in runs}) == 2


@pytest.mark.process
def test_one_command_uploads_the_offline_runs(logs: Path) -> None:
    hint = upload_hint(offline_runs(logs))
    assert hint.startswith("not in W&B yet: 2 offline runs; to upload:\nwandb sync ")
    command = hint.split("\n", 1)[1]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    said = subprocess.run(
        f"{command} --dry-run", shell=True, env=environment, capture_output=True, text=True, timeout=100
    )
    assert said.returncode == 0, said.stderr
    assert "Would sync 2 run(s)" in said.stdout + said.stderr


def test_uploaded_unfinished_and_replaced_runs_are_not_to_upload(tmp_path: Path) -> None:
    def make(folder: str, file: str) -> Path:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / file).touch()
        return tmp_path / folder

    make("a/.wandb/wandb/offline-run-20260101_000000-a", "run-a.wandb")
    make("a/wandb/offline-run-20260101_000000-old", "run-old.wandb")
    own = make("a/wandb/offline-run-20260102_000000-a", "run-a.wandb")
    make("b/wandb/offline-run-20260101_000000-b", "run-b.wandb")
    (tmp_path / "b/wandb/offline-run-20260101_000000-b/run-b.wandb.synced").touch()
    make("c/wandb/run-20260101_000000-c", "run-c.wandb")
    assert offline_runs(tmp_path) == [own]
    assert offline_runs(tmp_path / "b", tmp_path / "c", tmp_path / "none") == []


@pytest.mark.process
def test_a_sweep_ends_with_the_command(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def read(overrides: Sequence[str]) -> Cell:
        return make_cell(cell_folder(logs, 0), *overrides)

    launcher = OmegaConf.create({"hydra": {"launcher": {"_target_": "hydra.BasicLauncher"}}})
    (outcome,) = run_sweep([[*SMALL, *TRACKED]], read, lambda jobs, tell: [], launcher, plan_only=False)
    assert outcome.status == "skipped"
    assert upload_hint(offline_runs(cell_folder(logs, 0))) in capsys.readouterr().out


def found(content: Any, key: str) -> list[Any]:
    """Every value of a key, at any depth."""
    if isinstance(content, list):
        return [value for item in content for value in found(item, key)]
    if isinstance(content, dict):
        return [value for name, item in content.items() for value in ([item] if name == key else found(item, key))]
    return []


@pytest.mark.process
def test_every_panel_shows_what_the_tracker_logs(logs: Path) -> None:
    _, logged = tracked(logs, 0)
    for part in specification("trial", "softvq", "somebody").values():
        shown = {metric for key in ("metrics", "mediaKeys") for metrics in found(part, key) for metric in metrics}
        assert shown == {metric for panels in PANELS.values() for _, metric, _ in panels}
        assert shown <= logged
        columns = {name.removeprefix("summary:") for names in found(part, "columnOrder") for name in names}
        assert columns - {"run:displayName"} <= logged


@pytest.mark.process
def test_means_are_over_runs_that_share_settings_of_the_tracked_configuration(logs: Path) -> None:
    config = OmegaConf.create(values(tracked(logs, 0)[0].config.update))
    experiments = [path.stem for path in (CONF_DIR / "experiment").glob("*.yaml")]
    assert "table_1" in experiments
    for experiment in experiments:
        keys = grouping(experiment)
        assert keys[:2] == ["data.name", "choices.bottleneck"]
        assert "seed" not in keys
        of_all = [key for key in keys if not key.startswith("bottleneck.")]  # which other methods need not have
        assert all(OmegaConf.select(config, key) is not None for key in of_all), keys


def test_a_study_of_k_is_not_averaged_over_k() -> None:
    assert "bottleneck.K" in grouping("k_sweep")
    assert "penalty_weight" in grouping("equal_distortion")


@pytest.mark.process
def test_specification_can_be_read_back(logs: Path) -> None:
    from wandb_workspaces.reports.v2 import PanelGrid, Report
    from wandb_workspaces.reports.v2.internal import ReportViewspec
    from wandb_workspaces.workspaces import Workspace
    from wandb_workspaces.workspaces.internal import View

    spec = specification("k_sweep", "softvq", "somebody")
    workspace = Workspace._from_model(View.model_validate(spec["workspace"]))
    report = Report._from_model(ReportViewspec.model_validate(spec["report"]))
    grids = [block for block in report.blocks if isinstance(block, PanelGrid)]
    assert [section.name for section in workspace.sections] == list(PANELS)
    assert len(grids) == len(PANELS)
    for section, grid, panels in zip(workspace.sections, grids, PANELS.values(), strict=True):
        assert [panel.title for panel in section.panels] == [title for _, _, title in panels]
        assert [panel.title for panel in grid.panels] == [title for _, _, title in panels]
        boxes = [panel.layout for panel in grid.panels]
        covered = [(x, y) for box in boxes for x in range(box.x, box.x + box.w) for y in range(box.y, box.y + box.h)]
        assert len(covered) == len(set(covered)), "panels lie on one another"
        assert max(x for x, _ in covered) < 24  # columns of a report
    for part in spec.values():
        assert {
            (rule["key"]["section"], rule["key"]["name"], rule["op"], rule["value"])
            for filters in found(part, "filters")
            for rule in found(filters, "filters")[0]
        } == {("run", "group", "=", "k_sweep")}
        assert {"section": "config", "name": "bottleneck.value.K"} in found(part, "grouping")[0]


@pytest.mark.process
@pytest.mark.usefixtures("no_login")
def test_without_login_one_message_says_what_to_do(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    assert main(["--experiment", "trial", "--logs", str(logs)]) == 1
    assert time.monotonic() - started < 10
    said = capsys.readouterr()
    assert said.out.startswith("not in W&B yet: 2 offline runs")
    assert said.err.startswith("error: no dashboard: no login: run `wandb login` or set WANDB_API_KEY")
    assert len(said.err.splitlines()) == 1


@pytest.mark.usefixtures("no_login")
def test_specification_needs_no_server(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    assert main(["--experiment", "table_2", "--logs", str(tmp_path), "--spec", str(file)]) == 0
    spec = json.loads(file.read_text())
    assert {name: part["displayName"] for name, part in spec.items()} == {
        "workspace": "Sweep table_2",
        "report": "Sweep table_2",
    }


class ViewServer(Server):
    """A server that also keeps workspaces and reports, and has two runs of the group `trial`."""

    def __init__(self) -> None:
        super().__init__()
        self.views: dict[str, dict[str, Any]] = {}

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        last = {"endCursor": None, "hasNextPage": False}
        if operation == "Runs":
            count = 2 if json.loads(given["filters"]) == {"group": "trial"} else 0
            runs = {"edges": [], "pageInfo": last}
            return {"project": {"internalId": "p", "runCount": count, "readOnly": False, "runs": runs}}
        if operation in ("View", "ProjectViews"):
            wanted = (given.get("viewType", "runs"), given.get("viewName"))
            views = [view for view in self.views.values() if view["type"] == wanted[0]]
            edges = [{"node": view, "cursor": "c"} for view in views if wanted[1] in (None, view["name"])]
            return {"project": {"allViews": {"edges": edges, "pageInfo": last}}}
        if operation in ("upsertView", "UpsertView2"):
            id = given.get("id") or f"view-{len(self.views)}"
            project = {"id": "p", "name": given["projectName"], "entityName": given["entityName"]}
            self.views[id] = {**given, "id": id, "project": project, "updatedAt": "2026-01-01T00:00:00Z"}
            return {"upsertView": {"view": self.views[id], "inserted": True}}
        if operation not in ("Viewer", "GetDefaultEntity"):
            node = {"id": "p", "name": "softvq", "entityName": "somebody", "createdAt": "", "isBenchmark": False}
            return {"models": {"edges": [{"node": {**node, "user": None}, "cursor": "c"}], "pageInfo": last}}
        return super().answer(operation, given)


@pytest.fixture
def server(no_login: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ViewServer]:
    running = ViewServer()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("WANDB_BASE_URL", running.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    yield running
    wandb.teardown()
    running.shutdown()
    running.server_close()


def test_a_second_time_updates_workspace_and_report(server: ViewServer) -> None:
    first = publish("trial", "softvq", None)
    assert first == publish("trial", "softvq", None)
    assert all(address.startswith(f"{server.url}/somebody/softvq") for address in first)
    assert [(view["type"], view["displayName"]) for view in server.views.values()] == [
        ("project-view", "Sweep trial"),
        ("runs", "Sweep trial"),
    ]
    for view in server.views.values():
        assert "probes/clustering_nmi" in view["spec"]


def test_a_sweep_without_runs_is_an_error(server: ViewServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--experiment", "trail"]) == 1
    assert "somebody/softvq has no runs of the group trail" in capsys.readouterr().err
    assert not server.views
