"""Means, intervals and tests over seeds; a seed counts as one observation, however many images it was tested on."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.05
POWER = 0.8
FEWEST_SEEDS = 3
ONE_POINT = 0.01  # within which "the variances of all the results" lie, the paper says
WIDEST_MATCH = 0.03  # half the widest interval that may be called a match: it would show a difference of 3 points
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Summary:
    """What n seeds gave. Standard deviation (with n - 1) and 95 % interval exist from three seeds on.

    Equal values have neither: they come of seeds that were ignored, and do not show how results vary.
    """

    n: int
    mean: float
    std: float | None = None
    low: float | None = None
    high: float | None = None
    equal: bool = False

    @property
    def half_width(self) -> float | None:
        """Half the interval's width."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def summarize(values: Sequence[float]) -> Summary:
    """Mean, spread and Student's 95 % interval of the mean; the order of the values is irrelevant.

    Example:
        >>> found = summarize([0.5, 0.6, 0.7])
        >>> round(found.mean, 3), round(found.std, 3), round(found.half_width, 3)
        (0.6, 0.1, 0.248)

    Raises:
        ValueError: without values.
    """
    if not values:
        raise ValueError("there is nothing to summarize")
    ordered = sorted(values)
    n, mean = len(ordered), math.fsum(ordered) / len(ordered)
    if n > 1 and ordered[-1] - ordered[0] <= 1e-12:
        return Summary(n, mean, equal=True)
    if n < FEWEST_SEEDS:
        return Summary(n, mean)
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in ordered) / (n - 1))
    half = float(stats.t.ppf(1 - LEVEL / 2, n - 1)) * std / math.sqrt(n)
    return Summary(n, mean, std, mean - half, mean + half)


def greater(differences: Sequence[float], margin: float = 0.0) -> float | None:
    """p-value of the one-sided t-test that the differences' mean is above the margin; None where they do not vary.

    Student's t rather than Wilcoxon's signed ranks: with five seeds the smallest p that signed ranks can give is 1/32,
    so that no claim could outlast a correction for several.
    """
    if np.ptp(differences) <= 1e-12:
        return None
    return float(stats.ttest_1samp(np.asarray(differences, dtype=float), margin, alternative="greater").pvalue)


def spread_below(values: Sequence[float], limit: float) -> float | None:
    """p-value of the one-sided chi-squared test that the standard deviation is below the limit; None without one."""
    if np.ptp(values) <= 1e-12:
        return None
    n = len(values)
    return float(stats.chi2.cdf(float(np.var(values, ddof=1)) * (n - 1) / limit**2, n - 1))


def spread_above(values: Sequence[float], limit: float) -> float | None:
    """p-value of the one-sided chi-squared test that the standard deviation is above the limit; None without one."""
    below = spread_below(values, limit)
    return None if below is None else 1.0 - below


def spread_interval(std: float, n: int) -> tuple[float, float]:
    """95 % interval of a standard deviation that was estimated from n normal values."""
    low, high = (float(stats.chi2.ppf(level, n - 1)) for level in (1 - LEVEL / 2, LEVEL / 2))
    return std * math.sqrt((n - 1) / low), std * math.sqrt((n - 1) / high)


def seeds_needed(std: float, difference: float = WIDEST_MATCH) -> int | None:
    """Seeds with which a two-sided t-test at 5 % finds a mean difference in four of five trials; None beyond 1,000.

    Args:
        std: of the differences between paired seeds.
        difference: the mean that is to be found.

    Example:
        >>> seeds_needed(0.03, 0.03), seeds_needed(0.03, 0.015)
        (10, 34)
    """

    def enough(n: int) -> bool:
        critical, shift = float(stats.t.ppf(1 - LEVEL / 2, n - 1)), difference / std * math.sqrt(n)
        return bool(stats.nct.sf(critical, n - 1, shift) >= POWER)

    numbers = range(2, MOST_SEEDS + 1)
    place = bisect_left(numbers, True, key=enough)  # power grows with n
    return numbers[place] if place < len(numbers) else None


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for testing several hypotheses at once, after Holm (1979).

    Rejecting where they are below a level keeps the probability of any false rejection below that level.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
