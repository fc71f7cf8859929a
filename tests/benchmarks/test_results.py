"""The tables of the pages come from the committed runs."""

from dataclasses import replace
from pathlib import Path

import pytest
from findings import Findings
from result_tables import TABLES
from results import PAGES, PLACE, RESULTS, filled, merged

from softvq.report.read.collection import collect


@pytest.fixture(scope="module")
def runs():
    return collect([RESULTS / "runs.csv"]).runs


@pytest.fixture(scope="module")
def findings(runs):
    return Findings(runs)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_the_committed_runs(page: Path, findings):
    text = page.read_text(encoding="utf-8")
    assert PLACE.search(text)
    assert filled(text, findings) == text, "make results LOGS= renews the pages"
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(headings) == len(set(headings))


def test_a_run_that_is_taken_in_again_replaces_itself(runs):
    again = replace(runs[0], commit="0" * 40)
    found = merged(runs, [again])
    assert len(found) == len(runs)
    assert found[0].commit == "0" * 40
    assert found[1:] == list(runs[1:])


def test_three_seeds_give_an_interval_and_two_stand_one_by_one(runs):
    seeds = [run for run in runs if run.bottleneck == "vae" and run.experiment == "table_1"]
    assert "±" in TABLES["table_1"](Findings(seeds[:3]))
    two = TABLES["table_1"](Findings(seeds[:2]))
    assert "±" not in two
    assert "67.8 / 72.8" in two


def test_a_run_on_another_device_stands_beside_the_first_and_counts_as_no_further_seed(runs):
    first = next(run for run in runs if run.experiment == "table_1" and run.bottleneck == "vae")
    other = replace(first, device="another")
    once = merged([first], [other])
    assert [run.experiment for run in once] == ["table_1", "repeats"]
    assert merged(once, [other]) == once
    assert TABLES["table_1"](Findings(once)) == TABLES["table_1"](Findings([first]))
    assert TABLES["repeats"](Findings(once)).count("| 0 |") == 1
