"""The training curve in `metrics.csv`; continued, not deleted, when a run resumes."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from softvq.runs import write_text


class CurveLogger(Logger):
    """One row a logged step, one column a metric.

    On resume the file is cut back to the rows up to the checkpoint's step: `start_at` is called with it before
    training goes on. Rows whose metrics are new get new columns.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows: dict[int, dict[str, Any]] = {}

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The configuration is in `config.yaml`."""

    @rank_zero_only
    def start_at(self, step: int) -> None:
        """Keeps the rows of an earlier session up to `step`."""
        self.rows = {}
        if step and self.path.exists():
            with self.path.open(newline="") as file:
                self.rows = {int(row["step"]): row for row in csv.DictReader(file) if int(row["step"]) <= step}
        self._write_all()

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert step is not None
        known = self._columns()
        row = self.rows.setdefault(step, {"step": step})
        is_new = len(row) == 1
        row.update({name: float(value) for name, value in metrics.items() if name != "epoch"})
        if is_new and set(row) <= set(known):
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, known).writerow(row)
        else:
            self._write_all()

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(["step", *(name for row in self.rows.values() for name in row)]))

    def _write_all(self) -> None:
        columns = self._columns()
        lines = [columns, *([row.get(name, "") for name in columns] for row in self.rows.values())]
        write_text(self.path, "".join(",".join(str(value) for value in line) + "\n" for line in lines))


