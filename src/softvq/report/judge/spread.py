"""How much results vary from seed to seed, and how many seeds a difference of three points asks for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from softvq.published import FLOORS
from softvq.report.judge.entries import Entry
from softvq.report.judge.paper_tables import PaperTables
from softvq.report.judge.statistics import FEWEST_SEEDS, ONE_POINT, seeds_needed, spread_interval

METRIC = "clustering_accuracy"
RIVAL = "soft_vq"


@dataclass(frozen=True)
class Spread:
    """Clustering accuracy of one row over its seeds.

    Attributes:
        std: standard deviation, with n - 1.
        low, high: its 95 % interval.
        outcome: `within one point`, `beyond one point` or `undecided`, by that interval: the paper says that all of its
            results vary by no more than one percent.
        seeds: that a paired t-test needs to find a difference of three points to soft VQ in four of five trials; None
            where soft VQ has too few of the same seeds, or where more than 1,000 would be needed.
    """

    entry: Entry
    n: int
    std: float
    low: float
    high: float
    outcome: str
    seeds: int | None


def spreads(tables: PaperTables) -> list[Spread]:
    """The spread of each trained row of the paper's tables that has at least three seeds."""
    return list(_spreads(tables.entries.values(), tables))


def _spreads(entries: Iterable[Entry], tables: PaperTables) -> Iterator[Spread]:
    for entry in entries:
        summary = entry.summary(METRIC)
        if entry.bottleneck in FLOORS or summary is None or summary.std is None:
            continue
        low, high = spread_interval(summary.std, summary.n)
        outcome = "within one point" if high <= ONE_POINT else "beyond one point" if low > ONE_POINT else "undecided"
        seeds = _seeds(entry, tables.entries[entry.data, RIVAL])
        yield Spread(entry, summary.n, summary.std, low, high, outcome, seeds)


def _seeds(entry: Entry, rival: Entry) -> int | None:
    """The seeds that are needed, estimated from the differences to soft VQ on the same seeds."""
    mine, theirs = entry.values(METRIC), rival.values(METRIC)
    differences = [theirs[seed] - value for seed, value in mine.items() if seed in theirs]
    if entry.bottleneck == RIVAL or len(differences) < FEWEST_SEEDS:
        return None
    std = float(np.std(differences, ddof=1))
    return seeds_needed(std) if std > 1e-12 else None
