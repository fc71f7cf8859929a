"""Models compared at equal reconstruction quality: the runs of `experiment=equal_distortion`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from softvq.published import FLOORS, MSE, ROWS, row_order
from softvq.report.judge.entries import Entry

EXPERIMENT = "equal_distortion"


@dataclass(frozen=True)
class Matched:
    """A model's entry whose error lies within the band, or, where none does, the one that comes nearest to it."""

    bottleneck: str
    inside: bool
    entry: Entry
    mse: float


@dataclass(frozen=True)
class Band:
    """The models on one data set whose normalized test MSE lies between low and high.

    Attributes:
        setting: fidelity, protocol and what departs from the defaults in all of them, as one would type it.
        missing: models of the paper that the experiment does not have.
    """

    data: str
    setting: str
    low: float
    high: float
    models: tuple[Matched, ...]
    missing: tuple[str, ...]


def bands(entries: Iterable[Entry], width: float) -> list[Band]:
    """One band a data set and setting, around the error that lets the most models take part.

    Its place follows from the errors alone, never from the probes. It holds soft VQ where soft VQ was run; of several
    such places the one with the smallest error counts.

    Args:
        entries: of the experiment's runs alone.
        width: how far the band reaches to either side, as a part of its middle.
    """
    grouped: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.summary(MSE) is not None:
            grouped[entry.data, _setting(entry)].append(entry)
    return [_band(data, setting, members, width) for (data, setting), members in sorted(grouped.items())]


def _setting(entry: Entry) -> str:
    shared = [f"{key}={value}" for key, value, _ in entry.departures.shared]
    return " ".join([f"fidelity={entry.fidelity}", f"probes={entry.protocol}", *shared])


def _mse(entry: Entry) -> float:
    summary = entry.summary(MSE)
    assert summary is not None
    return summary.mean


def _band(data: str, setting: str, entries: Sequence[Entry], width: float) -> Band:
    errors = {id(entry): _mse(entry) for entry in entries}

    def inside(entry: Entry, middle: float) -> bool:
        return abs(errors[id(entry)] - middle) <= width * middle + 1e-12

    def worth(middle: float) -> tuple[bool, int, float]:
        models = {entry.bottleneck for entry in entries if inside(entry, middle)}
        return "soft_vq" in models, len(models), -middle

    middle = max(sorted(errors.values()), key=worth)
    models = []
    for bottleneck in sorted({entry.bottleneck for entry in entries}, key=row_order):
        nearest = min(
            (entry for entry in entries if entry.bottleneck == bottleneck),
            key=lambda entry: (abs(errors[id(entry)] - middle), entry.settings_hash or ""),
        )
        models.append(Matched(bottleneck, inside(nearest, middle), nearest, errors[id(nearest)]))
    trained = [row for row in ROWS if row not in FLOORS]
    missing = tuple(row for row in trained if row not in {m.bottleneck for m in models})
    return Band(data, setting, middle * (1 - width), middle * (1 + width), tuple(models), missing)
