"""Means, intervals and tests over seeds."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

LEVEL = 0.05
RESAMPLES = 9999
FEWEST_SEEDS = 3
ONE_POINT = 0.01


@dataclass(frozen=True)
class Summary:
    """What n seeds gave; std (with n - 1) and interval exist from two seeds on."""

    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None

    @property
    def half_width(self) -> float:
        """Half the interval's width; 0 without one."""
        return 0.0 if self.low is None or self.high is None else (self.high - self.low) / 2


def summarize(values: Sequence[float]) -> Summary:
    """Mean, spread and 95 % bootstrap interval of the mean; the order of the values is irrelevant.

    Raises:
        ValueError: without values.
    """
    if not values:
        raise ValueError("there is nothing to summarize")
    ordered = sorted(values)
    mean = math.fsum(ordered) / len(ordered)
    if len(ordered) == 1:
        return Summary(1, mean, None, None, None)
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in ordered) / (len(ordered) - 1))
    low, high = bootstrap_interval(tuple(ordered))
    return Summary(len(ordered), mean, std, low, high)


@cache
def bootstrap_interval(values: tuple[float, ...]) -> tuple[float, float]:
    """95 % interval of the mean: bias-corrected and accelerated, or percentiles where that is not defined.

    Reference: Efron (1987). Equal values give an interval without width.
    """
    if max(values) - min(values) <= 1e-12:
        return values[0], values[0]
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy warns where BCa is not defined; its nan says so too
            found = stats.bootstrap(
                (np.asarray(values),),
                np.mean,
                n_resamples=RESAMPLES,
                confidence_level=1 - LEVEL,
                method=method,
                rng=np.random.default_rng(0),
            ).confidence_interval
        if np.isfinite(found.low) and np.isfinite(found.high):
            break
    return float(found.low), float(found.high)


def verdict(ours: Summary | None, reference: float | None, fewest: int = FEWEST_SEEDS) -> str:
    """`match` where the difference is at most one point or half the interval's width, else `above` or `below`.

    `not run` without a result, `too few seeds` below the fewest, and nothing where there is no reference.
    """
    if ours is None:
        return "not run"
    if reference is None:
        return ""
    if ours.n < fewest:
        return "too few seeds"
    difference = ours.mean - reference
    if abs(difference) <= max(ONE_POINT, ours.half_width) + 1e-9:
        return "match"
    return "above" if difference > 0 else "below"


def greater(differences: Sequence[float], margin: float = 0.0) -> float:
    """p-value of the one-sided t-test that the differences' mean is above the margin.

    Student's t rather than Wilcoxon's signed ranks: with five seeds the smallest p that signed ranks can give is 1/32,
    so that no claim could outlast a correction for several.
    """
    beyond = np.asarray(differences, dtype=float) - margin
    if np.ptp(beyond) <= 1e-12:  # no spread: t is not defined, the sign decides
        return 0.0 if beyond[0] > 1e-12 else 1.0
    return float(stats.ttest_1samp(beyond, 0.0, alternative="greater").pvalue)


def spread_below(values: Sequence[float], limit: float) -> float:
    """p-value of the one-sided chi-squared test that the standard deviation is below the limit."""
    n = len(values)
    return float(stats.chi2.cdf(float(np.var(values, ddof=1)) * (n - 1) / limit**2, n - 1))


def spread_above(values: Sequence[float], limit: float) -> float:
    """p-value of the one-sided chi-squared test that the standard deviation is above the limit."""
    return 1.0 - spread_below(values, limit)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: the family's error stays below the level. Reference: Holm (1979)."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
