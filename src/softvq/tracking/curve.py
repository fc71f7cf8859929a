"""The training curve in `metrics.csv`; continued, not deleted, when a run resumes."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softvq.bounded_files import UnreadableFileError, read_text
from softvq.durable_files import UnwritableError, sync, write_text
from softvq.run_folder import DamagedFileError, RunFolder
from softvq.tracking.tracker import Tracker

Row = dict[str, float]
LARGEST = 2**28  # bytes of a curve; one of 100,000 rows has some 30 million


def read_curve(path: Path) -> list[Row]:
    """The rows of a curve in their order; a line that a killed process left unfinished does not count.

    Raises:
        DamagedFileError: if the file holds anything else.
    """
    try:
        whole = [line for line in read_text(path, LARGEST).splitlines(keepends=True) if line.endswith("\n")]
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(whole)]
    except FileNotFoundError:
        return []
    except UnreadableFileError as error:
        raise DamagedFileError(path, error.reason) from error
    except (ValueError, TypeError, csv.Error) as error:
        raise DamagedFileError(path, str(error)) from error
    if any("step" not in row for row in rows):
        raise DamagedFileError(path, "a row has no step")
    return rows


class CurveLogger(Tracker):
    """Writes `metrics.csv`: one row for each logged step, one column for each metric; every run has it.

    Rows are in the order of their steps. When a session logs its first row, later rows of earlier sessions are dropped:
    those sessions got further than the checkpoint from which training resumed. A metric that was not logged before
    becomes a new last column, for which the whole file is written again; otherwise a row is appended.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._earlier = read_curve(path)
        self.rows: list[Row] | None = None  # None until the session's first row
        self.columns: list[str] = []

    @property
    def name(self) -> str:
        return "csv"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert step is not None
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        append = self.rows is not None
        if self.rows is None:
            self.rows = [row for row in self._earlier if row["step"] <= step]
            self.columns = list(dict.fromkeys(["step", *(name for row in self._earlier for name in row)]))
        if self.rows and self.rows[-1]["step"] == step:  # validation after the step's training row
            self.rows[-1].update(values)
            append = False
        else:
            self.rows.append({"step": step, **values})
        new = [name for name in values if name not in self.columns]
        self.columns += new
        if append and not new:
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(self._line(self.rows[-1]))
            except OSError as error:
                raise UnwritableError(self.path, error) from error
        else:
            write_text(self.path, "".join([",".join(self.columns) + "\n", *map(self._line, self.rows)]))

    def _line(self, row: Row) -> str:
        cells = [str(int(row["step"])), *(repr(row[name]) if name in row else "" for name in self.columns[1:])]
        return ",".join(cells) + "\n"

    def save(self) -> None:
        """Writes the rows to the disk itself, so that a power loss does not cost them."""
        if self.path.exists():
            sync(self.path)

    def finish(self, metrics: Mapping[str, Any], folder: RunFolder) -> None:
        if not self.path.exists():  # a run that trains nothing logs no row
            write_text(self.path, "step\n")
        self.save()
