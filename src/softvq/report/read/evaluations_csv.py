"""What `softvq evaluate` measured as one small table, a row for each evaluation of a run in `runs.csv` beside it."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from softvq.bounded_files import printable, read_text
from softvq.published import NUMBERS
from softvq.report.read.run import Evaluation, Run
from softvq.report.read.runs_csv import LARGEST_TABLE

FILE = "evaluations.csv"
FIRST = ("experiment", "bottleneck", "fidelity", "seed", "steps")  # of the run, as the last ones
LAST = ("config_hash", "folder")


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


def with_evaluations(runs: Sequence[Run], table: Path) -> list[Run]:
    """The runs, each with its rows of the table of evaluations; unchanged where there is no such table.

    A row belongs to the run of the same folder and the same configuration.

    Args:
        runs: without evaluations.
        table: a file `evaluations.csv`.

    Raises:
        ValueError: if it is no such table.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(table, LARGEST_TABLE)), strict=True))
        found = defaultdict(list)
        for row in rows:
            found[printable(row["folder"]), row["config_hash"]].append(_evaluation(row))
    except FileNotFoundError:
        return list(runs)
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{table} is no table of evaluations: {type(error).__name__}: {error}") from None
    return [replace(run, evaluations=tuple(found[run.folder, run.config_hash])) for run in runs]


def _evaluation(row: dict[str, str]) -> Evaluation:
    return Evaluation(
        file=printable(row["file"]),
        protocol=printable(row["protocol"]),
        tap=printable(row["tap"]),
        data=printable(row["data"]),
        settings_hash=printable(row["settings_hash"]),
        seed=int(row["probe_seed"]),
        values={name: float(row[name]) for name in NUMBERS if row[name]},
    )
