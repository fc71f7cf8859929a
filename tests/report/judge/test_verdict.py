"""The verdict at its limits, and where there is none."""

import pytest

from softvq.report.judge.statistics import Summary, summarize
from softvq.report.judge.verdict import verdict


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.5101, 0.5401, "above"),
        (0.5099, 0.5401, "match"),  # it reaches the point around the number
        (0.44, 0.4899, "below"),
        (0.44, 0.4901, "match"),
        (0.47, 0.53, "match"),
        (0.4699, 0.5301, "undecided"),  # wider than three points to either side
        (0.40, 0.52, "undecided"),
        (0.40, 0.48, "below"),  # wide, but wholly beyond
    ],
)
def test_verdict_at_its_limits(low, high, expected):
    assert verdict(Summary(5, (low + high) / 2, 0.02, low, high), 0.5) == expected


def test_a_match_is_not_won_by_noise():
    assert verdict(summarize([0.45, 0.95, 0.96]), 0.776) == "undecided"
    assert verdict(summarize([0.772, 0.779, 0.776]), 0.776) == "match"


def test_equal_values_are_ignored_seeds_and_no_match():
    assert verdict(summarize([0.25] * 4), 0.25) == "no spread"


def test_verdict_without_result_reference_or_seeds():
    assert verdict(None, 0.5) == "not run"
    assert verdict(summarize([0.4, 0.41, 0.4]), None) == ""
    assert verdict(summarize([0.5, 0.5]), 0.5) == "too few seeds"
    assert [verdict(summarize([v]), 0.5, seedless=True) for v in (0.509, 0.511, 0.489)] == ["match", "above", "below"]
