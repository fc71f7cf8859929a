"""The journal of a search: what Optuna was told, line by line, from which a search goes on.

It lies in a folder that anybody may have written into. So Optuna gets what has been read within bounds, and of a trial
only what is a point of the space that is searched: its cells follow from that, and are never taken from the file.
"""

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna import Study, create_study, get_all_study_names, load_study
from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial

from softvq.bounded_files import UnreadableFileError, first_line, read_bytes
from softvq.durable_files import UnwritableError
from softvq.sweep.search_space import Space

JOURNAL = "search.journal"  # below the folder of an experiment
LARGEST = 2**27  # bytes; a trial takes about 1,500
VALUE = "value"  # by which the value of a trial stands in the journal a second time
FIXED = "fixed_params"  # by which Optuna keeps what a trial that was enqueued is to be


class DamagedJournalError(ValueError):
    """A journal that is not what a search writes."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is damaged or no search's: {reason}; move it away, and the search begins anew with the cells that "
            "are finished"
        )


class Journal(BaseJournalBackend):
    """Lines of JSON in a file that one process writes at a time.

    Args:
        path: of the file, which is made with its first line.
        only_read: keep what is added in memory alone.

    Raises:
        DamagedJournalError: if it holds anything else.
    """

    def __init__(self, path: Path, only_read: bool) -> None:
        self.path, self.only_read = path, only_read
        try:
            content = read_bytes(path, LARGEST)
            whole = content[: content.rfind(b"\n") + 1]  # a process that was killed left the rest
            self.lines = [json.loads(line) for line in whole.decode().splitlines()]
        except FileNotFoundError:
            content, whole, self.lines = b"", b"", []
        except UnreadableFileError as error:
            raise DamagedJournalError(path, error.reason) from error
        except (ValueError, RecursionError) as error:
            raise DamagedJournalError(path, first_line(error)) from error
        self.torn = len(whole) if len(whole) < len(content) else None

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The lines from one on."""
        return self.lines[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Adds lines.

        Raises:
            UnwritableError: if they cannot be written.
        """
        added = [json.dumps(log) for log in logs]
        self.lines += map(json.loads, added)
        if self.only_read:
            return
        try:
            with self.path.open("ab") as file:
                if self.torn is not None:
                    file.truncate(self.torn)
                file.write("".join(f"{line}\n" for line in added).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UnwritableError(self.path, error) from error
        self.torn = None


def open_study(path: Path, name: str, direction: str, space: Space, only_read: bool) -> Study:
    """The study of a search, with the trials of earlier sessions.

    Args:
        path: of its journal.
        name: of the study; a journal may hold several.
        direction: `maximize` or `minimize`.
        space: of which its trials must be points.
        only_read: leave the file as it is.

    Raises:
        DamagedJournalError: if the journal does not hold such a study.
    """
    from optuna.storages import JournalStorage

    journal, wanted = Journal(path, only_read), StudyDirection[direction.upper()]
    try:
        storage = JournalStorage(journal)
        if name in get_all_study_names(storage):  # `create_study` would write a line in any case
            study = load_study(study_name=name, storage=storage)
        else:
            study = create_study(study_name=name, storage=storage, direction=wanted)
        faults = [fault for trial in study.get_trials(deepcopy=False) if (fault := _fault_of(trial, space))]
        if study.directions != [wanted]:
            faults.append("it is about another direction")
    except UnwritableError:
        raise
    except Exception as error:  # lines of which Optuna makes anything
        reason = f"Optuna cannot read it ({type(error).__name__}: {first_line(error)})"
        raise DamagedJournalError(path, reason) from error
    if faults:
        raise DamagedJournalError(path, faults[0])
    return study


def has_settings(trial: FrozenTrial, space: Space) -> bool:
    """Whether a trial has a value of everything that is searched; one whose process was killed may lack some."""
    return trial.params.keys() == space.searched.keys()


def tell_value(study: Study, number: int, value: float) -> None:
    """Ends a trial with its value, of which the journal gets a second copy that shows a changed digit."""
    trial = study.get_trials(deepcopy=False)[number]
    Trial(study, trial._trial_id).set_user_attr(VALUE, value)
    study.tell(number, value)


def _fault_of(trial: FrozenTrial, space: Space) -> str | None:
    """Why a trial is none of this space, if it is not."""
    where = f"trial {trial.number}"
    if any(space.searched.get(key) != values for key, values in trial.distributions.items()):
        return f"{where} is about other settings"
    enqueued = trial.system_attrs.get(FIXED, {})
    if not all(key in space.searched and _holds(space.searched[key], value) for key, value in enqueued.items()):
        return f"{where} is to try what is not searched"
    complete, cells = has_settings(trial, space), trial.user_attrs.get("cells")
    if complete and cells is not None and list(map(sorted, cells)) != list(map(sorted, space.cells(trial.params))):
        return f"the settings of {where} are not those of its cells"
    if trial.state.name == "COMPLETE":
        value = trial.value
        if not complete or not isinstance(value, int | float) or not math.isfinite(value):
            return f"{where} has ended without settings, or without a value"
        if trial.user_attrs.get(VALUE, value) != value:
            return f"the value of {where} was changed: it is {value} and {trial.user_attrs[VALUE]}"
    return None


def _holds(distribution: Any, value: Any) -> bool:
    return bool(distribution._contains(distribution.to_internal_repr(value)))
