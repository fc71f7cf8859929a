"""What `softvq evaluate` measured of an entry's runs: by another protocol, at another tap or on other data."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from softvq.report.judge.entries import Entry
from softvq.report.judge.statistics import Summary, summarize
from softvq.report.read.run import Evaluation


@dataclass(frozen=True)
class Evaluated:
    """One entry under one further protocol.

    Attributes:
        protocol: its name, its seed where that is not the usual one, and in what it differs from others of its name.
        values: metric -> seed -> value.
    """

    entry: Entry
    protocol: str
    tap: str
    data: str
    values: dict[str, dict[int, float]]

    def summary(self, metric: str) -> Summary | None:
        """Mean and interval of a number over the seeds; None where no run has it."""
        values = list(self.values.get(metric, {}).values())
        return summarize(values) if values else None


def evaluated(entry: Entry) -> list[Evaluated]:
    """The evaluations of an entry's runs, those of equal protocol, tap and data together."""
    found: dict[tuple[str, str, str, str], dict[int, Evaluation]] = defaultdict(dict)
    for run in entry.runs:
        for evaluation in run.evaluations:
            key = (_protocol(evaluation), evaluation.tap, evaluation.data, evaluation.settings_hash)
            found[key][run.seed] = evaluation
    first = {key: next(iter(members.values())) for key, members in found.items()}
    rows = []
    for key, members in sorted(found.items(), key=lambda item: item[0]):
        protocol, tap, data, _ = key
        alike = [other for named, other in first.items() if named[:3] == key[:3]]
        rows.append(Evaluated(entry, ", ".join([protocol, *_own(first[key], alike)]), tap, data, _values(members)))
    return rows


def _values(members: dict[int, Evaluation]) -> dict[str, dict[int, float]]:
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for seed, evaluation in members.items():
        for metric, value in evaluation.values.items():
            values[metric][seed] = value
    return dict(values)


def _protocol(evaluation: Evaluation) -> str:
    """The protocol's name, followed by the seed of its probes unless that is 0."""
    return f"{evaluation.protocol}, probes.seed={evaluation.seed}" if evaluation.seed else evaluation.protocol


def _own(evaluation: Evaluation, alike: Sequence[Evaluation]) -> list[str]:
    """The settings that tell an evaluation from the others of the same name; their hash where they are not known."""
    if len(alike) < 2:
        return []
    if not all(other.settings for other in alike):
        return [f"settings {evaluation.settings_hash[:8]}"]
    return [
        f"probes.{key}={value}"
        for key, value in evaluation.settings.items()
        if any(other.settings.get(key) != value for other in alike)
    ]
