"""An experiment as it was run: its entries, the settings that it varied, and those that all entries share."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from softvq.published import FLOORS, MSE, NUMBERS, SEES_LABELS, data_name, data_order, row_name, row_order
from softvq.report.judge.entries import Entry, make_entries, number_or_text
from softvq.report.judge.paper_tables import is_the_papers_setting
from softvq.report.read.departures import DefaultSettings, leaves
from softvq.report.read.run import FAILED, Run, setting
from softvq.run.agreement import FINISHED

ORDER = ("table_1", "table_2", "figure_4")
STEPS = "trainer.max_steps"
CLASS_PATH = re.compile(r"[a-z_][\w]*(\.[a-z_]\w*)*\.[A-Z]\w*")


@dataclass(frozen=True)
class Experiment:
    """The runs of one `experiment_name`.

    Attributes:
        name: of the experiment; empty for runs that name none.
        entries: its rows, in the paper's order of data and models.
        keys: the settings in which its rows differ, beyond data and model.
        common: settings that differ from the defaults in all rows alike: key, value, default.
    """

    name: str
    entries: tuple[Entry, ...]
    keys: tuple[str, ...]
    common: tuple[tuple[str, str, str], ...]

    @property
    def data(self) -> list[str]:
        """The data sets, the paper's first."""
        return sorted({entry.data for entry in self.entries}, key=data_order)

    @property
    def metrics(self) -> list[str]:
        """The numbers that some row has, the probes first."""
        found = {metric for entry in self.entries for metric in entry.metrics}
        return [metric for metric in NUMBERS if metric in found]

    @property
    def is_the_papers(self) -> bool:
        """Whether it holds an entry whose steps, network and protocol are the paper's."""
        return any(is_the_papers_setting(entry) for entry in self.entries)

    def best(self, beside: Entry, metric: str) -> list[Entry]:
        """The best mean of a row and those that are measured as it is, on the same data and by the same protocol.

        Models that saw labels are left out, and there is no best of a single row.
        """
        alike = _measured(beside)
        rows = [entry for entry in self.entries if _measured(entry) == alike and entry.bottleneck not in SEES_LABELS]
        means = [(s.mean, entry) for entry in rows if (s := entry.summary(metric))]
        if len(means) < 2:
            return []
        best = (min if metric == MSE else max)(mean for mean, _ in means)
        return [entry for mean, entry in means if mean == best]

    def curves(self) -> Iterator[tuple[str, dict[str, list[Entry]]]]:
        """Each varied setting whose values are numbers, and the entries of each line over it, by the line's name."""
        for key in self.keys:
            others = [other for other in self.keys if other != key]
            grouped: dict[tuple[Any, ...], list[Entry]] = defaultdict(list)
            for entry in self.entries:
                if entry.runs and _is_number(value_of(entry, key)):
                    about = (entry.data, entry.bottleneck, *(value_of(entry, other) for other in others))
                    grouped[about].append(entry)
            lines = [
                sorted(members, key=lambda entry: value_of(entry, key))
                for members in grouped.values()
                if len({value_of(entry, key) for entry in members}) > 1
            ]
            telling = [other for other in others if len({value_of(line[0], other) for line in lines}) > 1]
            if lines:
                yield key, {self.title(line[0], telling): line for line in lines}

    def title(self, entry: Entry, keys: Sequence[str] | None = None) -> str:
        """The title of a row: its model, and its values of the varied settings.

        Args:
            entry: the row.
            keys: the settings that are named; None for all that the experiment varied.
        """
        parts = [row_name(entry.bottleneck)]
        if len(self.data) > 1:
            parts.append(f"on {data_name(entry.data)}")
        values = {key: value_of(entry, key) for key in (self.keys if keys is None else keys)}
        if values.get("fidelity") == "paper":  # the default is not mentioned
            del values["fidelity"]
        parts += [f"{self.heading(key)} = {brief(value)}" for key, value in values.items() if value is not None]
        return ", ".join(parts)

    def heading(self, key: str) -> str:
        """The end of a setting's key, as `K` of `bottleneck.K`, as short as no other key of the experiment ends."""
        others = [_parts(other) for other in self.keys if other != key]
        parts = _parts(key)
        for length in range(1, len(parts)):
            if all(other[-length:] != parts[-length:] for other in others):
                return ".".join(parts[-length:])
        return ".".join(parts)


def make_experiments(runs: Iterable[Run], defaults: DefaultSettings) -> list[Experiment]:
    """The experiments by which finished and failed runs are named, the paper's tables first."""
    by_name: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.status in (FINISHED, FAILED):
            by_name[run.experiment].append(run)
    order = sorted(by_name, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [_experiment(name, make_entries(by_name[name], defaults)) for name in order]


def value_of(entry: Entry, key: str) -> Any:
    """An entry's value of a setting; None where it has none, as `untrained` has no steps."""
    if key in ("fidelity", "protocol"):
        return getattr(entry, key)
    if key == STEPS and entry.bottleneck in FLOORS:
        return None
    value = setting(entry.first, key)
    return tuple(value) if isinstance(value, list) else value


def brief(value: Any) -> str:
    """A setting's value as one would type it; a class by its own name.

    Example:
        >>> brief((500, 2000)), brief("softvq.bottlenecks.soft_vq.SoftVQ"), brief(0.1)
        ('[500,2000]', 'SoftVQ', '0.1')
    """
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    text = str(value)
    return text.rpartition(".")[2] if isinstance(value, str) and CLASS_PATH.fullmatch(text) else text


def _experiment(name: str, entries: Sequence[Entry]) -> Experiment:
    candidates = ["fidelity", "protocol", *sorted(_departing(entries) | _varying_where_unknown(entries))]
    keys = [key for key in candidates if len(_values(entries, key)) > 1 and not _is_the_models(entries, key)]
    common = {
        (key, value, default)
        for entry in entries
        for key, value, default in entry.departures.all
        if key not in keys and not (key == STEPS and entry.bottleneck in FLOORS)
    }
    return Experiment(name, tuple(_in_order(entries, keys)), tuple(keys), tuple(sorted(common)))


def _measured(entry: Entry) -> tuple[str, str, str]:
    """What two rows must share for their numbers to compare."""
    return entry.data, entry.protocol, entry.tap


def _is_the_models(entries: Sequence[Entry], key: str) -> bool:
    """Whether a setting is the class of the bottleneck, and each model's own: the model's name says it already."""
    if key != "bottleneck._target_":
        return False
    return len({(e.bottleneck, value_of(e, key)) for e in entries}) == len({e.bottleneck for e in entries})


def _in_order(entries: Sequence[Entry], keys: Sequence[str]) -> list[Entry]:
    """Data and models in the paper's order, then by the table's columns from the left, numbers by their size."""
    return sorted(
        entries,
        key=lambda entry: (
            data_order(entry.data),
            row_order(entry.bottleneck),
            [number_or_text(value_of(entry, key)) for key in keys],
        ),
    )


def _departing(entries: Sequence[Entry]) -> set[str]:
    return {key for entry in entries for key, _, _ in entry.departures.all}


def _varying_where_unknown(entries: Sequence[Entry]) -> set[str]:
    """Settings that differ among those entries of a model whose defaults cannot be composed.

    Of settings that always change together, as a width and what is computed from it, only the shortest name is taken.
    """
    found: set[str] = set()
    for bottleneck in {entry.bottleneck for entry in entries if not entry.departures.known}:
        members = [leaves(e.first.settings) for e in entries if e.bottleneck == bottleneck and not e.departures.known]
        patterns: dict[tuple[int, ...], str] = {}
        for key in sorted(
            {key for member in members for key in member}, key=lambda key: (key.count("."), len(key), key)
        ):
            values = [repr(member.get(key)) for member in members]
            if len(set(values)) > 1:
                patterns.setdefault(tuple(values.index(value) for value in values), key)
        found |= set(patterns.values())
    return found


def _values(entries: Sequence[Entry], key: str) -> set[Any]:
    values = (value_of(entry, key) for entry in entries)
    return {value for value in values if value is not None}


def _parts(key: str) -> list[str]:
    """The parts of a dotted key: `bottleneck` and `K` of `bottleneck.K`, and `bottleneck` of `bottleneck._target_`."""
    return key.removesuffix("._target_").split(".")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
