"""Writes what `softvq evaluate` measured as one small table, a row for each evaluation."""

import csv
import io
from collections.abc import Sequence

from softvq.published import MSE, PROBE_METRICS
from softvq.report.read.run import Run

FIRST = ("experiment", "bottleneck", "fidelity", "seed", "steps")
LAST = ("config_hash", "folder")
NUMBERS = (*PROBE_METRICS, MSE)


def evaluations_csv(runs: Sequence[Run]) -> str:
    """The table of all evaluations, in the order of their runs.

    `trained_on` is the run's data, `data` what was probed, `settings_hash` that of the protocol's settings.
    """
    text = io.StringIO()
    own = ("data", "protocol", "tap", "file", "settings_hash")
    columns = [*FIRST, "trained_on", "data", "protocol", "probe_seed", "tap", *NUMBERS, *LAST, "file", "settings_hash"]
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    for run in runs:
        for found in run.evaluations:
            writer.writerow(
                {
                    **{name: getattr(run, name) for name in (*FIRST, *LAST)},
                    "trained_on": run.data,
                    **{name: getattr(found, name) for name in own},
                    "probe_seed": found.seed,
                    **found.values,
                }
            )
    return text.getvalue()
