"""The verdict on one of our numbers beside the paper's: match, above, below or undecided, and when there is none."""

from softvq.report.judge.statistics import FEWEST_SEEDS, ONE_POINT, WIDEST_MATCH, Summary


def verdict(ours: Summary | None, reference: float | None, seedless: bool = False) -> str:
    """Compares a mean over seeds with a published number, which has no interval of its own.

    `above` and `below`: all of the interval is more than one point away from the number. `match`: some of it is within
    one point, and it reaches at most three points to either side. `undecided`: some of it is within one point, and it
    is wider. `no spread`: all seeds gave the same value. `too few seeds`: fewer than three. `not run`: no result. Empty
    where there is no published number.

    Args:
        ours: the result.
        reference: the published number.
        seedless: the result is one value without an interval: `match` within one point of the number.
    """
    if ours is None:
        return "not run"
    if reference is None:
        return ""
    low, high = (ours.mean, ours.mean) if seedless else (ours.low, ours.high)
    if low is None or high is None:
        return "no spread" if ours.equal and ours.n >= FEWEST_SEEDS else "too few seeds"
    if low > reference + ONE_POINT + 1e-9:
        return "above"
    if high < reference - ONE_POINT - 1e-9:
        return "below"
    return "match" if (high - low) / 2 <= WIDEST_MATCH + 1e-9 else "undecided"
