"""Reads `evaluations.csv`, the evaluations of the runs in the table `runs.csv` beside it."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from softvq.bounded_files import printable, read_text
from softvq.published import MSE, PROBE_METRICS
from softvq.report.read.run import Evaluation, Run
from softvq.report.read.runs_csv import LARGEST_TABLE

FILE = "evaluations.csv"
NUMBERS = (*PROBE_METRICS, MSE)


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
