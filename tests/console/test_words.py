"""Counts and times as a person reads them."""

import pytest

from softvq.console import counted, duration


@pytest.mark.parametrize(("number", "said"), [(0, "0 cells"), (1, "1 cell"), (2, "2 cells"), (40_000, "40,000 cells")])
def test_one_of_them_has_no_s(number: int, said: str) -> None:
    assert counted(number, "cell") == said


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0:00"), (59.6, "1:00"), (750, "12:30"), (11_100, "3:05:00")])
def test_times_have_hours_where_they_need_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
