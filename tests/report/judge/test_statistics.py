"""The report's statistics against closed forms, simulation and numbers worked out by hand."""

import math

import numpy as np
import pytest

from softvq.report.judge.statistics import (
    Summary,
    greater,
    holm,
    seeds_needed,
    spread_above,
    spread_below,
    spread_interval,
    summarize,
)


def test_interval_of_three_values_in_closed_form():
    # Student's t with two degrees of freedom has the quantile (2 p - 1) / sqrt(2 p (1 - p)): 4.3027 for p = 0.975.
    t = 0.95 / math.sqrt(2 * 0.975 * 0.025)
    found = summarize([0.7, 0.5, 0.6])
    assert (found.n, found.mean, found.std) == (3, pytest.approx(0.6), pytest.approx(0.1))
    assert found.half_width == pytest.approx(t * 0.1 / math.sqrt(3))
    assert found == summarize([0.5, 0.6, 0.7])


@pytest.mark.parametrize("n", [3, 5])
def test_interval_covers_the_mean_as_often_as_it_says(n):
    rng = np.random.default_rng(0)
    found = [summarize(rng.normal(0.6, 0.03, n).tolist()) for _ in range(2000)]
    covered = np.mean([s.low <= 0.6 <= s.high for s in found])
    assert covered == pytest.approx(0.95, abs=0.02)  # four standard errors


def test_fewer_than_three_values_have_neither_spread_nor_interval():
    assert summarize([0.4]) == Summary(1, 0.4)
    assert summarize([0.4, 0.6]) == Summary(2, 0.5)
    with pytest.raises(ValueError, match="nothing"):
        summarize([])


def test_equal_values_are_ignored_seeds_and_no_certainty():
    found = summarize([0.25] * 4)
    assert found == Summary(4, 0.25, equal=True)
    assert greater([0.1] * 3) is None
    assert spread_below([0.1] * 3, 0.01) is None
    assert spread_above([0.1] * 3, 0.01) is None


def test_t_test_with_two_degrees_of_freedom_in_closed_form():
    # differences 1, 2, 3: t = 2 / (1 / sqrt 3); P(T > t) = 1/2 - t / (2 sqrt(2 + t^2)) with two degrees of freedom
    t = 2 * math.sqrt(3)
    assert greater([1, 2, 3]) == pytest.approx(0.5 - t / (2 * math.sqrt(2 + t**2)))
    assert greater([1, 2, 3], margin=2) == pytest.approx(0.5)
    assert greater([-1, -2, -3]) == pytest.approx(1 - greater([1, 2, 3]))


def test_spread_test_with_two_degrees_of_freedom_in_closed_form():
    # three values with variance 0.01^2: chi-squared is 2 (0.01 / 0.02)^2; P(X < x) = 1 - exp(-x / 2)
    assert spread_below([0.49, 0.50, 0.51], 0.02) == pytest.approx(1 - math.exp(-0.25))
    assert spread_above([0.49, 0.50, 0.51], 0.02) == pytest.approx(math.exp(-0.25))


def test_interval_of_a_standard_deviation_in_closed_form():
    # two degrees of freedom: chi-squared has the quantile -2 ln(1 - p)
    low, high = spread_interval(0.01, 3)
    assert low == pytest.approx(0.01 * math.sqrt(2 / (-2 * math.log(0.025))))
    assert high == pytest.approx(0.01 * math.sqrt(2 / (-2 * math.log(0.975))))


@pytest.mark.parametrize("std", [0.02, 0.04])
def test_that_many_seeds_find_the_difference_in_four_of_five_trials(std):
    n = seeds_needed(std, 0.03)
    rng = np.random.default_rng(1)

    def power(n: int) -> float:
        differences = rng.normal(0.03, std, (20_000, n))
        t = differences.mean(1) / (differences.std(1, ddof=1) / math.sqrt(n))
        return float((t > critical[n]).mean())

    critical = {n: _quantile(n - 1), n - 1: _quantile(n - 2)}
    assert power(n) > 0.79
    assert power(n - 1) < 0.81


def _quantile(freedom: int) -> float:
    """Of Student's t at 97.5 %, by bisecting a numerical integral of its density."""
    scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    x = np.linspace(0, 60, 600_001)
    density = scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    return float(np.interp(0.475, np.cumsum(density) * (x[1] - x[0]), x))


def test_more_than_a_thousand_seeds_are_none():
    assert seeds_needed(1.0, 0.03) is None


def test_holm_worked_out_by_hand():
    # sorted 0.005 * 4, 0.01 * 3, 0.03 * 2, then 0.04 * 1 raised to what stands before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
