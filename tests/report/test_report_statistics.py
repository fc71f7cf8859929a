"""The report's statistics against brute force and numbers worked out by hand."""

import math
from itertools import product
from statistics import NormalDist

import numpy as np
import pytest

from softvq.report.judge.statistics import (
    Summary,
    bootstrap_interval,
    greater,
    holm,
    spread_above,
    spread_below,
    summarize,
    verdict,
)


def exact_bca(values: tuple[float, ...], level: float = 0.05) -> tuple[float, float]:
    """Efron's bias-corrected and accelerated interval from all n^n resamples instead of a random few."""
    n, mean = len(values), sum(values) / len(values)
    means = np.sort([sum(sample) / n for sample in product(values, repeat=n)])
    normal = NormalDist()
    share = (np.mean(means < mean - 1e-12) + np.mean(means <= mean + 1e-12)) / 2
    bias = normal.inv_cdf(share)
    jackknife = np.array([(sum(values) - v) / (n - 1) for v in values])
    spread = jackknife.mean() - jackknife
    acceleration = (spread**3).sum() / (6 * (spread**2).sum() ** 1.5)

    def bound(alpha: float) -> float:
        z = bias + normal.inv_cdf(alpha)
        return float(np.quantile(means, normal.cdf(bias + z / (1 - acceleration * z))))

    return bound(level / 2), bound(1 - level / 2)


@pytest.mark.parametrize(
    "values", [(0.70, 0.72, 0.79, 0.74), (0.5, 0.52, 0.51, 0.53, 0.61), (0.1, 0.11, 0.3, 0.31, 0.12)]
)
def test_interval_is_that_of_all_resamples(values):
    low, high = bootstrap_interval(values)
    expected_low, expected_high = exact_bca(values)
    width = expected_high - expected_low
    assert low == pytest.approx(expected_low, abs=0.06 * width)
    assert high == pytest.approx(expected_high, abs=0.06 * width)


def test_interval_of_equal_values_has_no_width():
    assert bootstrap_interval((0.25, 0.25, 0.25)) == (0.25, 0.25)


def test_interval_lies_within_the_values_and_is_finite_where_bca_is_not_defined():
    for values in [(0.5, 0.6), (0.5, 0.5, 0.6), (0.0, 0.0, 0.0, 1.0)]:
        low, high = bootstrap_interval(values)
        assert min(values) <= low <= high <= max(values)


def test_summary_is_worked_out_by_hand_and_ignores_the_order():
    # mean 0.6; deviations -0.1, 0, 0.1; variance 0.02 / 2
    summary = summarize([0.7, 0.5, 0.6])
    assert (summary.n, summary.mean, summary.std) == (3, pytest.approx(0.6), pytest.approx(0.1))
    assert summary == summarize([0.5, 0.6, 0.7])
    assert summary.half_width == pytest.approx((summary.high - summary.low) / 2)


def test_one_value_has_neither_spread_nor_interval():
    assert summarize([0.4]) == Summary(1, 0.4, None, None, None)
    with pytest.raises(ValueError, match="nothing"):
        summarize([])


@pytest.mark.parametrize(
    ("mean", "half", "n", "expected"),
    [
        (0.51, 0.0, 3, "match"),  # one point: still a match
        (0.5101, 0.0, 3, "above"),
        (0.4899, 0.005, 3, "below"),
        (0.47, 0.03, 5, "match"),  # half the interval's width reaches it
        (0.469, 0.03, 5, "below"),
        (0.5, 0.0, 2, "too few seeds"),
    ],
)
def test_verdict_at_its_limits(mean, half, n, expected):
    assert verdict(Summary(n, mean, 0.01, mean - half, mean + half), 0.5) == expected


def test_verdict_without_result_or_reference():
    assert verdict(None, 0.5) == "not run"
    assert verdict(None, None) == "not run"
    assert verdict(summarize([0.4, 0.4, 0.4]), None) == ""
    assert verdict(summarize([0.5]), 0.5, fewest=1) == "match"


def test_t_test_with_two_degrees_of_freedom_in_closed_form():
    # differences 1, 2, 3: t = 2 / (1 / sqrt 3); P(T > t) = 1/2 - t / (2 sqrt(2 + t^2)) with two degrees of freedom
    t = 2 * math.sqrt(3)
    assert greater([1, 2, 3]) == pytest.approx(0.5 - t / (2 * math.sqrt(2 + t**2)))
    assert greater([1, 2, 3], margin=2) == pytest.approx(0.5)
    assert greater([-1, -2, -3]) == pytest.approx(1 - greater([1, 2, 3]))


def test_t_test_without_spread_follows_the_sign():
    assert (greater([0.1] * 3), greater([0.0] * 3), greater([-0.1] * 3)) == (0.0, 1.0, 1.0)


def test_spread_test_with_two_degrees_of_freedom_in_closed_form():
    # three values with variance 0.01^2: chi-squared is 2 (0.01 / 0.02)^2; P(X < x) = 1 - exp(-x / 2)
    assert spread_below([0.49, 0.50, 0.51], 0.02) == pytest.approx(1 - math.exp(-0.25))
    assert spread_above([0.49, 0.50, 0.51], 0.02) == pytest.approx(math.exp(-0.25))


def test_holm_worked_out_by_hand():
    # sorted 0.005 * 4, 0.01 * 3, 0.03 * 2, then 0.04 * 1 raised to what stands before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
