"""Collects the runs below some folders: finished, failed and unfinished ones, and those that cannot be read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from softvq.bounded_files import printable
from softvq.report.read.evaluations_csv import FILE, with_evaluations
from softvq.report.read.folders import run_folders
from softvq.report.read.run import FAILED, UNFINISHED, Run
from softvq.report.read.run_files import read_failure, read_run
from softvq.report.read.runs_csv import read_runs_csv
from softvq.report.read.searches import SEARCH, Search, read_search, search_files
from softvq.run.agreement import FINISHED, STOPPED_EARLY
from softvq.run_folder import DamagedFileError


@dataclass(frozen=True)
class Remark:
    """A folder that gives no run, and the reason."""

    folder: str
    reason: str


@dataclass
class Collection:
    """The runs that were found, and the folders that give none.

    Attributes:
        runs: those with a configuration, of any status.
        failed: runs that failed before their configuration was written.
        damaged: folders with files that cannot be read or that contradict each other; none of their numbers is used.
        searches: the searches by which `hydra/sweeper=search` chose settings, each with its trials among the runs.
    """

    runs: list[Run] = field(default_factory=list)
    failed: list[Remark] = field(default_factory=list)
    damaged: list[Remark] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)

    def of(self, status: str) -> list[Run]:
        """The runs that have this status."""
        return [run for run in self.runs if run.status == status]

    def counts(self) -> dict[str, int]:
        """Status -> number of runs; damaged ones are counted, too."""
        counts = {status: len(self.of(status)) for status in (FINISHED, STOPPED_EARLY, FAILED, UNFINISHED)}
        counts[FAILED] += len(self.failed)
        return {**counts, "damaged": len(self.damaged)}


def collect(logs: Sequence[Path]) -> Collection:
    """Every run below folders, in the order of their names, and those of tables that an earlier report wrote.

    Beside a table of runs its table of evaluations is read, too.

    Args:
        logs: folders, or files named `*.csv`.

    Raises:
        FileNotFoundError: if one is neither.
        ValueError: if a table is not a report's.
    """
    found = Collection()
    for table in (path for path in logs if path.suffix == ".csv" and not path.is_dir()):
        if not table.exists():
            raise FileNotFoundError(f"there is no table of runs at {table}")
        found.runs += with_evaluations(read_runs_csv(table), table.with_name(FILE))
    roots = [path for path in logs if path.suffix != ".csv" or path.is_dir()]
    for path, name in run_folders(roots):
        folder = printable(name)
        try:
            run = read_run(path, folder)
            if run is not None:
                found.runs.append(run)
            elif reason := read_failure(path):
                found.failed.append(Remark(folder, reason))
        except DamagedFileError as error:
            found.damaged.append(Remark(folder, f"{error.path.name}: {error.reason}"))
    for path, experiment in search_files(found.runs, roots).items():
        try:
            found.searches.append(read_search(path, experiment))
        except DamagedFileError as error:
            found.damaged.append(Remark(printable(f"{path.parent.name}/{SEARCH}"), error.reason))
    return found
