"""Every cell has its end, whatever the launcher does."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from softvq.durable_files import write_json, write_text
from softvq.run.cell import Outcome
from softvq.run_folder import RunFolder
from softvq.sweep.launch import launch_all
from softvq.sweep.plan import PlannedCell


class FakeCell:
    """A cell whose settings are its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = RunFolder(folder)
        self.config = SimpleNamespace(data=SimpleNamespace(root=str(folder)))

    def source(self) -> None: ...

    def settings(self, info: object) -> dict[str, Any]:
        return {}

    def is_finished(self, settings: dict[str, Any]) -> bool:
        return self.folder.metrics.exists()


def test_broken_launcher_is_gone_on_with_until_each_cell_has_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softvq.sweep.launch.prepared_info", lambda source, root: ())
    monkeypatch.setattr("softvq.sweep.launch._overrides", lambda job: job[0].overrides)
    planned = [PlannedCell([name], FakeCell(tmp_path / name)) for name in "abcdef"]  # type: ignore[arg-type]
    rounds: list[str] = []

    def launch(batch: Sequence[Sequence[str]], tell: Callable[[int, Any], None]) -> list[Any]:
        """Two cells at a time; b kills its worker, and everything breaks off with it."""
        rounds.append("".join(cell[0] for cell in batch))
        jobs = []
        for (name,) in batch:
            folder = RunFolder(tmp_path / name)
            write_text(folder.log, f"2026-11-26 10:00:0{len(rounds)} train.py\n")
            if name == "b":
                raise ConnectionError("a worker died")
            if name != "a" or len(rounds) > 1:
                write_json(folder.metrics, {"config_hash": ""})
                jobs.append(SimpleNamespace(return_value=[Outcome("finished", name)]))
        return jobs

    told: list[str] = []
    outcomes = launch_all([[cell] for cell in planned], launch, told.extend)
    assert rounds == ["abcdef", "cdef", "a", "b"]
    assert sorted(told) == list("abcdef")
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        **dict.fromkeys("acdef", "finished"),
        "b": "failed",
    }
    assert "ConnectionError: a worker died" in outcomes["b"].message
    failure = json.loads((tmp_path / "b" / "failure.json").read_text())
    assert failure["message"] == "ConnectionError: a worker died"
    assert not list(tmp_path.glob("[acdef]/failure.json"))


def test_launcher_that_starts_nothing_fails_each_cell_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softvq.sweep.launch._overrides", lambda job: job[0].overrides)
    planned = [PlannedCell([name], FakeCell(tmp_path / name)) for name in "ab"]  # type: ignore[arg-type]

    def launch(batch: Sequence[Sequence[str]], tell: Callable[[int, Any], None]) -> list[Any]:
        raise RuntimeError("no such partition")

    outcomes = launch_all([[cell] for cell in planned], launch, lambda _: None)
    assert all("RuntimeError: no such partition" in outcome.message for outcome in outcomes.values())
    assert len(list(tmp_path.glob("[ab]/failure.json"))) == 2


def test_a_cell_without_metrics_does_not_count_as_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softvq.sweep.launch._overrides", lambda job: job[0].overrides)
    planned = PlannedCell(["a"], FakeCell(tmp_path / "a"))  # type: ignore[arg-type]
    answer = SimpleNamespace(return_value=[Outcome("finished", "a")])
    outcomes = launch_all([[planned]], lambda batch, tell: [answer], lambda _: None)
    assert outcomes["a"].status == "failed"
    assert "metrics.json is missing" in outcomes["a"].message
