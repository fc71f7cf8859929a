"""What `softvq evaluate` measured of an entry's runs: by another protocol, at another tap or on other data."""

from collections import defaultdict
from dataclasses import dataclass

from softvq.report.judge.entries import Entry
from softvq.report.judge.statistics import Summary, summarize
from softvq.report.read.run import Evaluation


@dataclass(frozen=True)
class Evaluated:
    """One entry under one further protocol.

    Attributes:
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
    found: dict[tuple[str, str, str, str], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for run in entry.runs:
        for evaluation in run.evaluations:
            key = (_protocol(evaluation), evaluation.tap, evaluation.data, evaluation.settings_hash)
            for metric, value in evaluation.values.items():
                found[key][metric][run.seed] = value
    return [
        Evaluated(entry, protocol, tap, data, dict(values))
        for (protocol, tap, data, _), values in sorted(found.items(), key=lambda item: item[0])
    ]


def _protocol(evaluation: Evaluation) -> str:
    """The protocol's name, followed by the seed of its probes unless that is 0."""
    return f"{evaluation.protocol}, probes.seed={evaluation.seed}" if evaluation.seed else evaluation.protocol
