"""Rows by conditions and in an order, with names as people type them."""

import pandas as pd
import pytest

from softvq.report.read.selection import column, ordered, where


@pytest.fixture
def runs():
    return pd.DataFrame(
        {
            "bottleneck": ["vq", "vae", "vq", "vq"],
            "seed": [0, 0, 1, 2],
            "bottleneck.K": pd.array([128, None, 512, 128], dtype="Int64"),
            "bottleneck.d": [64, 64, 64, 60],
            "network.d": [64, 64, 64, 60],
            "optimizer.lr": [1e-3, 1e-3, 1e-3, 1e-4],
            "bottleneck.lr": [1, 2, 3, 4],
            "probes.clustering_accuracy": [0.4, 0.7, None, 0.5],
            "reconstruction.test_normalized_mse": [0.4, 0.1, 0.3, 0.2],
        }
    )


def seeds(found):
    return list(zip(found.bottleneck, found.seed, strict=True))


def test_a_column_is_found_by_its_name_nickname_or_last_part(runs):
    assert column(runs, "bottleneck.K") == column(runs, "K") == "bottleneck.K"
    assert column(runs, "clustering") == "probes.clustering_accuracy"
    assert column(runs, "mse") == "reconstruction.test_normalized_mse"
    assert column(runs, "d") in ("bottleneck.d", "network.d")  # equal in every row


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("botleneck", "did you mean bottleneck.* there are clustering, nmi, classification, mse, folder"),
        ("bottleneck.k", "did you mean bottleneck.K"),
        ("lr", "lr may be any of optimizer.lr, bottleneck.lr"),
        ("nmi", "runs have no nmi"),
    ],
)
def test_an_unknown_name_says_what_there_is(runs, name, message):
    with pytest.raises(ValueError, match=message):
        column(runs, name)


def test_conditions_compare_numbers_as_numbers_and_take_several_values(runs):
    assert seeds(where(runs, "bottleneck=vq")) == [("vq", 0), ("vq", 1), ("vq", 2)]
    assert seeds(where(where(runs, "bottleneck=vq"), "K=128.0")) == [("vq", 0), ("vq", 2)]
    assert seeds(where(runs, "optimizer.lr=0.0001")) == [("vq", 2)]
    assert seeds(where(runs, "seed=1,2")) == [("vq", 1), ("vq", 2)]
    assert seeds(where(runs, "K=none")) == [("vae", 0)]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("vq", "a condition is NAME=VALUE"),
        ("=vq", "a condition is NAME=VALUE"),
        ("bottleneck=vqq", "no run has bottleneck=vqq; did you mean vq.* there are vq, vae"),
        ("seed=9", "there are 0, 1, 2"),
    ],
)
def test_a_condition_that_nothing_fulfils_says_what_there_is(runs, condition, message):
    with pytest.raises(ValueError, match=message):
        where(runs, condition)


def test_the_best_comes_first_and_what_was_not_measured_last(runs):
    assert seeds(ordered(runs, "clustering")) == [("vae", 0), ("vq", 2), ("vq", 0), ("vq", 1)]
    assert ordered(runs, "mse")["reconstruction.test_normalized_mse"].tolist() == [0.1, 0.2, 0.3, 0.4]
    assert seeds(ordered(runs, "K"))[-1] == ("vae", 0)
    assert ordered(runs, "seed").seed.is_monotonic_increasing


def test_conditions_on_no_rows_give_no_rows(runs):
    assert len(where(runs[:0], "bottleneck=vq")) == 0
