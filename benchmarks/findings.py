"""Runs, grouped as the documents' tables need them, and how a table writes their numbers."""

from collections.abc import Sequence

from softvq.published import MSE, PROBE_METRICS, published
from softvq.report.judge.entries import Entry, make_entries
from softvq.report.judge.experiments import make_experiments
from softvq.report.judge.paper_tables import make_paper_tables
from softvq.report.judge.statistics import summarize
from softvq.report.read.collection import Collection
from softvq.report.read.departures import DefaultSettings
from softvq.report.read.run import Run
from softvq.report.write.results import results

NONE = "-"
PLUS_MINUS = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"


class Findings:
    """Runs, grouped as the tables need them.

    Attributes:
        runs: all of them.
        content: all that the report says.
        experiments: name -> its rows.
        papers: fidelity -> the paper's tables.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        defaults = DefaultSettings()
        self.runs = runs
        self.content = results(Collection(list(runs)), defaults)
        self.experiments = {found.name: found.entries for found in make_experiments(runs, defaults)}
        self.papers = {found.fidelity: found for found in make_paper_tables(make_entries(runs, defaults))}

    def table(self, fidelity: str, data: str) -> list[Entry]:
        """The rows of the paper's table that have runs."""
        found = self.papers.get(fidelity)
        return [e for (name, _), e in found.entries.items() if name == data and e.runs] if found else []

    def of(self, experiment: str) -> list[Entry]:
        """The rows of an experiment that have runs."""
        return [entry for entry in self.experiments.get(experiment, ()) if entry.runs]


def seeds(entry: Entry) -> str:
    """A row's seeds; of three or more without a gap the first and the last."""
    found = [run.seed for run in entry.runs]
    if entry.seedless:
        return NONE
    if len(found) > 2 and found == list(range(found[0], found[-1] + 1)):
        return f"{found[0]} to {found[-1]}"
    return ", ".join(map(str, found))


def numbers(entry: Entry) -> list[str]:
    """Seeds, the probes' numbers and the distortion."""
    return [seeds(entry), *(percent(entry, metric) for metric in PROBE_METRICS), number(entry, MSE)]


def percent(entry: Entry, metric: str) -> str:
    """A fraction of 1 over a row's seeds, in percent."""
    return spread(list(entry.values(metric).values()), 100)


def number(entry: Entry, metric: str) -> str:
    """A number over a row's seeds."""
    return spread(list(entry.values(metric).values()), 1, 3)


def diagnostic(entry: Entry, name: str) -> str:
    """A diagnostic of each seed; of three or more the lowest and the highest, once where they are the same."""
    values = [run.diagnostics[name] for run in entry.runs if run.diagnostics.get(name) is not None]
    texts = [f"{value:.0f}" for value in values]
    if not texts or len(set(texts)) == 1:
        return texts[0] if texts else NONE
    return " / ".join(texts) if len(texts) < 3 else f"{min(values):.0f} to {max(values):.0f}"


def each(entry: Entry, metric: str) -> str:
    """A fraction of 1 of each seed, in percent."""
    return ", ".join(f"{100 * value:.1f}" for value in entry.values(metric).values()) or NONE


def papers(entry: Entry, metric: str, data: str | None = None) -> str:
    """The paper's number of a row, in percent."""
    value = published(data or entry.data, entry.bottleneck).get(metric)
    return NONE if value is None else f"{100 * value:.1f}"


def spread(values: Sequence[float], scale: float, digits: int = 1) -> str:
    """Mean and half the 95 % interval; the values one by one where there are too few of them."""
    if not values:
        return NONE
    found = summarize(values)
    if found.half_width is None:
        return " / ".join(f"{scale * value:.{digits}f}" for value in values)
    return f"{scale * found.mean:.{digits}f}{PLUS_MINUS}{scale * found.half_width:.{digits}f}"


def brief(value: object) -> str:
    """A setting's value; of a class the last name."""
    return NONE if value is None else f"`{str(value).rpartition('.')[2] if isinstance(value, str) else value}`"


def mean(entry: Entry, metric: str) -> float:
    """Over a row's seeds."""
    values = list(entry.values(metric).values())
    return sum(values) / len(values)
