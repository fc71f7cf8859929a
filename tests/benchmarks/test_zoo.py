"""The page of all bottlenecks: what its tables say of a run, and what its benchmark measures."""

from dataclasses import replace

import pytest
from result_tables import Findings
from results import RESULTS
from step_cost import Steps, measured
from zoo_plot import plot
from zoo_tables import EXPERIMENT, method_table, protocol, protocol_table

from softvq.report.read.collection import collect


@pytest.fixture(scope="module")
def runs():
    return [run for run in collect([RESULTS / "runs.csv"]).runs if run.experiment == EXPERIMENT and run.data == "mnist"]


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_floors_come_first_and_what_sees_labels_last_and_says_so(runs):
    names = [row[0] for row in rows(protocol_table(Findings(runs).of(EXPERIMENT), "mnist"))]
    assert names[:3] == ["`raw`", "`untrained`", "`identity`"]
    assert names[-1] == "`dvib` (sees labels)"


def test_a_collapsed_seed_is_named_and_both_seeds_numbers_stand(runs):
    vae = next(run for run in runs if run.bottleneck == "vae")
    second = replace(vae, seed=1, config_hash="0" * 16, collapsed="", values={**vae.values, "clustering_nmi": 0.5})
    first = replace(vae, seed=0, collapsed="active_units: 1 of 64")
    (row,) = rows(method_table(Findings([first, second]).of(EXPERIMENT), ["vae"]))
    assert row[0] == "`vae` (seed 0 collapsed)"
    assert row[3] == f"{100 * vae.values['clustering_nmi']:.1f} / 50.0"


def test_what_has_not_run_is_named(runs):
    some = [run for run in runs if run.bottleneck != "vq"]
    assert "`vq`" in protocol(Findings(some).of(EXPERIMENT)).split("not yet:")[1]


@pytest.mark.slow
def test_the_plot_is_the_same_for_the_same_runs(runs):
    entries = Findings(runs).of(EXPERIMENT)
    once = plot(entries)
    assert once == plot(entries)
    assert b"residual_vq" in once


@pytest.mark.slow  # it measures times, which a busy machine disturbs
def test_a_method_that_decodes_several_times_costs_more_than_the_plain_autoencoder():
    plain = Steps("identity")
    plain.take(2)
    assert measured("acai", plain, repeats=3, steps=2)["ratio"]["median"] > 1.3
