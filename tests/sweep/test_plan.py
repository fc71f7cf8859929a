"""What a plan says of the time that a sweep takes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cells import SMALL_MLP, make_cell, run

from softvq.sweep.plan import Plan, PlannedCell, jobs_of, make_plan, summary_lines


def planned(tmp_path: Path, seconds: Sequence[float]) -> Plan:
    """Cells of other seeds that take so many seconds."""
    return Plan(
        [
            PlannedCell(("data=digits",), make_cell(tmp_path / str(seed), "data=digits", f"seed={seed}"))
            for seed in range(len(seconds))
        ]
    )


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ([3600], "about 1:00:00;"),  # a job does not end sooner where others could run beside it
        ([60, 60], "about 1:00 with 2 at a time;"),
        ([60] * 16, "about 2:00 with 8 at a time;"),
        ([600, 60, 60, 60], "about 10:00 with 4 at a time;"),
    ],
)
def test_the_time_is_that_of_the_jobs_that_there_are(seconds: list[float], told: str, tmp_path: Path) -> None:
    plan = planned(tmp_path, seconds)
    for cell, remaining in zip(plan.cells, seconds, strict=True):
        cell.remaining_s = remaining
    assert told in " ".join(summary_lines(plan, jobs=8))


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
    assert "about 1:00 with 3 at a time, 1 jobs of several seeds;" in " ".join(summary_lines(Plan(cells), jobs=8))


@pytest.mark.parametrize(("override", "asks"), [("seed=1", False), ("data.batch_size=8", True)])
def test_a_run_of_the_same_kind_tells_how_fast_the_next_one_is(override: str, asks: bool, tmp_path: Path) -> None:
    small = ("data=digits", "bottleneck=identity", "trainer.max_steps=200", *SMALL_MLP)
    metrics = run(tmp_path / "digits" / "identity" / "seed-0", *small)
    asked: list[str] = []

    def call(function: Callable[[Any], Any], arguments: Sequence[Any], jobs: int) -> list[Any]:
        asked.append(function.__name__)
        return [function(argument) for argument in arguments]

    def read(overrides: Sequence[str]) -> Any:
        return make_cell(tmp_path / "digits" / "identity" / "next", *small, *overrides)

    plan = make_plan([[override]], read, lambda error, _: str(error), call)
    assert plan.cells[0].state == "new"
    assert ("_measure" in asked) == asks
    if not asks:
        assert plan.cells[0].remaining_s == pytest.approx(200 / metrics["time"]["steps_per_s"])
