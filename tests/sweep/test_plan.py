"""What a plan says of a sweep's cells: what they are, which are the same, and how long they take."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cells import SMALL_MLP, make_cell, run

from softvq.sweep.estimate import past_runs
from softvq.sweep.plan import Plan, PlannedCell, jobs_of, make_plan
from softvq.sweep.plan_table import plan_table, summary_lines
from softvq.sweep.swept import headings, swept_keys
from softvq.sweep.workers import call_here


def planned(tmp_path: Path, seconds: Sequence[float | None]) -> Plan:
    """Cells of other seeds that take so many seconds."""
    return Plan(
        [
            PlannedCell(
                (f"seed={seed}",), make_cell(tmp_path / str(seed), "data=digits", f"seed={seed}"), remaining_s=remaining
            )
            for seed, remaining in enumerate(seconds)
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ([3600], "about 1:00:00;"),  # a job does not end sooner where others could run beside it
        ([60, 60], "about 1:00 with 2 at a time;"),
        ([60] * 16, "about 2:00 with 8 at a time;"),
        ([600, 60, 60, 60], "about 10:00 with 4 at a time;"),
        ([60, None], "about 1:00 with 2 at a time without 1 cell of whose kind no run is finished;"),
        ([None, None], "how long it takes is not known with 2 at a time: no run of the same kind is finished;"),
    ],
)
def test_the_time_is_that_of_the_jobs_that_there_are(seconds: list[float | None], told: str, tmp_path: Path) -> None:
    assert told in " ".join(summary_lines(planned(tmp_path, seconds), at_a_time=8))


def test_seeds_in_one_process_are_one_job(tmp_path: Path) -> None:
    cells = [
        PlannedCell((name,), make_cell(tmp_path / name, "data=digits", f"seed={seed}", f"bottleneck={bottleneck}"))
        for name, bottleneck, seed in (("a", "vq", 0), ("b", "vae", 0), ("c", "vq", 1), ("d", "vq", 2))
    ]
    for cell in cells:
        assert cell.cell
        cell.cell.config.trainer.seeds_per_process = 2
    assert [[cell.name for cell in job] for job in jobs_of(cells)] == [["a", "c"], ["b"], ["d"]]
    for cell in cells:
        cell.remaining_s = 30
    assert "about 1:00 with 3 at a time, 1 job of several seeds;" in " ".join(summary_lines(Plan(cells), at_a_time=8))


def plan_of(folder: Path, *cells: Sequence[str], small: Sequence[str] = ()) -> Plan:
    """The plan of cells that each have a folder beside those of finished runs."""

    def read(overrides: Sequence[str]) -> Any:
        name = "-".join(overrides).replace("=", "-").replace("/", "-")
        return make_cell(folder / "digits" / "identity" / name, *small, *overrides)

    return make_plan(cells, read, lambda error, _: str(error), lambda jobs: call_here)


class TestTime:
    """One short run has finished; plans of others are estimated from it."""

    SMALL = ("data=digits", "bottleneck=identity", "trainer.max_steps=200", *SMALL_MLP)

    @pytest.fixture(scope="class")
    @staticmethod
    def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("plan")
        return folder, run(folder / "digits" / "identity" / "seed-0", *TestTime.SMALL)

    @pytest.mark.parametrize(("override", "known"), [("seed=1", True), ("data.batch_size=8", False)])
    def test_a_run_of_the_same_kind_tells_it(
        self, override: str, known: bool, finished: tuple[Path, dict[str, Any]]
    ) -> None:
        folder, metrics = finished
        (cell,) = plan_of(folder, [override], small=self.SMALL).cells
        assert cell.state == "new"
        time = metrics["time"]
        expected = 200 / time["steps_per_s"] + time["probe_s"] if known else None
        assert cell.remaining_s == (pytest.approx(expected) if known else None)

    def test_seeds_at_once_share_the_time(self, finished: tuple[Path, dict[str, Any]]) -> None:
        folder, metrics = finished
        past = past_runs([folder / "digits" / "identity" / "next"])
        cell = make_cell(folder / "next", *self.SMALL)
        one, two = past.seconds(cell, at_once=1), past.seconds(cell, at_once=2)
        assert one == pytest.approx(two)  # two take twice as long together, which is one's time for each
        assert one == pytest.approx(200 / metrics["time"]["steps_per_s"] + metrics["time"]["probe_s"])

    @pytest.mark.parametrize("file", ["metrics.json", "config.yaml"])
    @pytest.mark.parametrize("damage", ["a pipe", "a folder", "an alias bomb", "a number", "deep", "binary", "a loop"])
    def test_a_foreign_or_damaged_run_stops_no_plan(
        self, file: str, damage: str, finished: tuple[Path, dict[str, Any]], tmp_path: Path
    ) -> None:
        place = tmp_path / "digits" / "identity"
        shutil.copytree(finished[0] / "digits" / "identity" / "seed-0", place / "seed-0")
        spoil(place / "seed-0" / file, damage)
        (cell,) = plan_of(tmp_path, ["seed=1"], small=self.SMALL).cells
        assert cell.state == "new"
        assert cell.remaining_s is None


def write_arrays(folder: Path) -> None:
    """A few random images of two classes."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        np.save(folder / f"{part}_images.npy", random.integers(256, size=(40, 8, 8), dtype=np.uint8))
        np.save(folder / f"{part}_labels.npy", np.arange(40) % 2)


def spoil(file: Path, damage: str) -> None:
    file.unlink()
    if damage == "a pipe":
        os.mkfifo(file)
    elif damage == "a folder":
        file.mkdir()
    elif damage == "a loop":
        file.symlink_to(file)
    else:
        bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnop"))
        content = {
            "an alias bomb": bomb.encode(),
            "a number": b"7",
            "deep": b"[" * 100_000,
            "binary": bytes(range(256)),
        }
        file.write_bytes(content[damage])


class TestOneFolderForSeveral:
    """Cells that would share a folder: the same cell twice, or different ones that nothing tells apart."""

    def plan(self, folder: Path, *cells: Sequence[str]) -> Plan:
        def read(overrides: Sequence[str]) -> Any:
            return make_cell(folder / "one", *overrides)

        return make_plan(cells, read, lambda error, _: str(error), lambda jobs: call_here)

    def test_the_same_settings_typed_differently_are_a_duplicate(self, tmp_path: Path) -> None:
        first, second = self.plan(tmp_path, ["data=digits"], ["data=digits", "penalty_weight=1.0"]).cells
        assert (first.state, second.state) == ("new", "duplicate")

    @pytest.mark.parametrize(
        ("override", "difference"), [("seed=1", "seed: 0 -> 1"), ("optimizer.lr=0.5", "optimizer.lr: 0.0003 -> 0.5")]
    )
    def test_other_settings_are_refused(self, override: str, difference: str, tmp_path: Path) -> None:
        first, second = self.plan(tmp_path, ["data=digits"], ["data=digits", override]).cells
        assert (first.state, second.state) == ("new", "invalid"), first.message
        assert difference in second.message
        assert "data.name=LABEL" in second.message

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        for name in "AB":
            write_arrays(tmp_path / name)
        cells = [["data=arrays", f"data.dir={tmp_path / name}"] for name in "AB"]
        first, second = self.plan(tmp_path, *cells).cells
        assert (first.state, second.state) == ("new", "invalid"), first.message
        assert f"{tmp_path / 'A'} -> {tmp_path / 'B'}" in second.message


@pytest.mark.slow
def test_workers_that_die_do_not_end_the_planning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rounds = []

    def dying(function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        rounds.append(len(arguments))
        for number, argument in enumerate(arguments[:1]):
            yield number, function(argument)
        if len(arguments) > 1:
            raise ConnectionError("a worker died")

    def read(overrides: Sequence[str]) -> Any:
        return make_cell(tmp_path / overrides[0].replace("=", "-"), "data=digits", *SMALL_MLP, *overrides)

    cells = [[f"bottleneck={name}"] for name in ("identity", "vae", "vq", "soft_vq")]
    plan = make_plan(cells, read, lambda error, _: str(error), lambda jobs: dying)
    assert rounds == [4, 3, 2], plan.cells  # what has not come back is asked for again
    assert [cell.state for cell in plan.cells] == ["new"] * 4
    assert "workers died while models were checked" in capsys.readouterr().err


class TestColumns:
    CELLS = (
        ("bottleneck=soft_vq", "bottleneck.K=8", "network.d=16"),
        ("bottleneck=soft_vq", "bottleneck.K=8", "network.d=32"),
        ("bottleneck=soft_vq", "bottleneck.K=16", "network.d=16"),
    )

    def test_what_differs_between_cells_is_swept(self) -> None:
        assert swept_keys(self.CELLS) == ["bottleneck.K", "network.d"]
        assert headings(["bottleneck.K", "network.d"]) == ["K", "d"]

    def test_headings_stay_distinct(self) -> None:
        keys = ["network.encoder.hidden", "network.decoder.hidden", "probes.seed"]
        assert headings(keys) == keys

    def test_the_plan_shows_them(self, tmp_path: Path) -> None:
        def read(overrides: Sequence[str]) -> Any:
            name = "-".join(overrides).replace("=", "-")
            return make_cell(tmp_path / name, "data=digits", *SMALL_MLP, *overrides)

        plan = make_plan(self.CELLS, read, lambda error, _: str(error), lambda jobs: call_here)
        table = plan_table(plan)
        assert [str(column.header) for column in table.columns][:4] == ["data", "bottleneck", "K", "d"]
        assert [list(column.cells) for column in table.columns][2:4] == [["8", "8", "16"], ["16", "32", "16"]]
