"""Groups runs into the entries of tables: one model on one data set under equal settings, a run a seed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from softvq.published import SEEDLESS, data_order, row_order
from softvq.report.judge.statistics import Summary, summarize
from softvq.report.read.departures import DefaultSettings
from softvq.report.read.run import FAILED, Departures, Run
from softvq.run.agreement import FINISHED

PAPER_EXPERIMENTS = ("table_1", "table_2")


@dataclass(frozen=True)
class Entry:
    """A table's entry: the finished runs of one model on one data set under equal settings, one a seed.

    Attributes:
        data: the name of the data, and their content's checksum where several contents go by one name.
        departures: what sets these settings apart from the defaults.
        runs: those that count, in the order of their seeds.
        repeats: further runs of a seed in `runs`, with equal settings; they are not counted.
        lost: runs of these settings that failed, for one because the loss became NaN.
        notes: what a reader of the numbers should know.
    """

    data: str
    bottleneck: str
    fidelity: str
    protocol: str
    tap: str
    departures: Departures = field(default_factory=Departures)
    settings_hash: str | None = None
    runs: tuple[Run, ...] = ()
    repeats: tuple[Run, ...] = ()
    lost: tuple[Run, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Run:
        """One of its runs, to read the settings from: all have the same."""
        return (*self.runs, *self.lost)[0]

    @property
    def seedless(self) -> bool:
        """Whether no random number decides the result, so that one run stands for every seed."""
        return self.bottleneck in SEEDLESS

    @property
    def steps(self) -> int | None:
        """The steps that its runs were trained for."""
        return self.runs[0].steps if self.runs else None

    @property
    def metrics(self) -> list[str]:
        """The names of the numbers that some run has."""
        return list(dict.fromkeys(name for run in self.runs for name in run.values))

    def values(self, metric: str) -> dict[int, float]:
        """Seed -> value, in the order of the seeds."""
        return {run.seed: run.values[metric] for run in self.runs if metric in run.values}

    def summary(self, metric: str) -> Summary | None:
        """Mean and interval of a number over the seeds; None where no run has it."""
        values = list(self.values(metric).values())
        return summarize(values) if values else None

    def diagnostics(self) -> dict[str, float]:
        """The mean over seeds of each diagnostic that is one number."""
        found: dict[str, list[float]] = defaultdict(list)
        for run in self.runs:
            for name, value in run.diagnostics.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    found[name].append(value)
        return {name: sum(values) / len(values) for name, values in found.items()}


def make_entries(runs: Iterable[Run], defaults: DefaultSettings) -> list[Entry]:
    """Every entry with a finished or a lost run, in the paper's order of data and models.

    Args:
        runs: of any status; runs that were stopped early or have not ended count nowhere.
        defaults: the default configurations.
    """
    grouped: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in told_apart([run for run in runs if run.status in (FINISHED, FAILED)]):
        grouped[run.data, run.bottleneck, run.settings_hash].append(run)
    entries = [_entry(members, defaults) for members in grouped.values()]
    return sorted(entries, key=lambda entry: (*entry_order(entry), entry.settings_hash or ""))


def entry_order(entry: Entry) -> tuple:
    """Data and models in the paper's order, then fidelity, protocol and settings, numbers by their size."""
    settings = [(key, number_or_text(value)) for key, value, _ in entry.departures.all]
    return (data_order(entry.data), row_order(entry.bottleneck), entry.fidelity, entry.protocol, settings)


def number_or_text(value: object) -> tuple[float, str]:
    """A key that sorts numbers by size, also those written as text, and puts other text behind them."""
    try:
        return float(str(value)), ""
    except ValueError:
        return float("inf"), str(value)


def told_apart(runs: Sequence[Run]) -> list[Run]:
    """The same runs, with the content's checksum in the data's name wherever one name has several contents.

    The content whose checksum is the published one keeps the plain name, if only one is.
    """
    contents: dict[str, dict[str, bool]] = defaultdict(dict)
    for run in runs:
        known = contents[run.data]
        known[run.data_sha256] = known.get(run.data_sha256, False) or run.verified is True

    def name(run: Run) -> str:
        known = contents[run.data]
        official = [sha256 for sha256, verified in known.items() if verified]
        if len(known) == 1 or official == [run.data_sha256]:
            return run.data
        return f"{run.data}, content {run.data_sha256[:8]}"

    return [replace(run, data=name(run)) for run in runs]


def _entry(members: Sequence[Run], defaults: DefaultSettings) -> Entry:
    first = members[0]
    seeds: dict[int, Run] = {}
    repeats = []
    ordered = sorted(members, key=lambda run: (run.seed, run.experiment not in PAPER_EXPERIMENTS, run.folder))
    for run in ordered:
        if run.status == FAILED:
            continue
        if run.seed in seeds or (seeds and first.bottleneck in SEEDLESS):
            repeats.append(run)
        else:
            seeds[run.seed] = run
    failed = {run.seed: run for run in ordered if run.status == FAILED and run.seed not in seeds}
    departures = defaults.departures(first)
    entry = Entry(
        data=first.data,
        bottleneck=first.bottleneck,
        fidelity=first.fidelity,
        protocol=first.protocol,
        tap=first.tap,
        departures=departures,
        settings_hash=first.settings_hash,
        runs=tuple(seeds.values()),
        repeats=tuple(repeats),
        lost=tuple(failed.values()),
    )
    return replace(entry, notes=tuple(_notes(entry)))


def _notes(entry: Entry) -> Iterator[str]:
    counted = {run.seed: run.values for run in entry.runs}
    if entry.lost:
        why = Counter(run.reason.partition(":")[0] for run in entry.lost)
        yield f"failed and not in the mean: {_counted(why)}"
    if collapsed := [run for run in entry.runs if run.collapsed]:
        yield f"collapsed in {len(collapsed)} of {len(entry.runs)} runs: {collapsed[0].collapsed}"
    if any(run.values != counted.get(run.seed, run.values) for run in entry.repeats):
        yield "repeats of a seed under equal settings gave other numbers"
    if len(entry.runs) > 1 and all(run.values == entry.runs[0].values for run in entry.runs):
        yield "every seed gave the same numbers: the seed had no effect"
    if any(run.verified is False for run in entry.runs):
        yield "data: the checksum is not the published one"
    devices = Counter(run.device or "unknown" for run in entry.runs)
    if len(devices) > 1:
        yield f"devices: {_counted(devices)}"
    commits = {run.commit for run in entry.runs}
    if None in commits:
        yield "code: the commit is not known"
    if len(commits) > 1:
        yield "code: the runs have several commits"
    if any((commit or "").endswith("-dirty") for commit in commits):
        yield "code: files differed from the commit"
    if entry.departures.unrecorded:
        yield f"older than these settings: {', '.join(entry.departures.unrecorded)}"
    if not entry.departures.known:
        yield "its defaults are not known: conf/ cannot compose these choices"


def _counted(names: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(names.items()))
