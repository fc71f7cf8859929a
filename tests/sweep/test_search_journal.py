"""A search's journal that was damaged, exchanged or made to do harm is named in a line, and never followed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from softvq.durable_files import UnwritableError
from softvq.sweep.search_space import Space, read_space

optuna = pytest.importorskip("optuna", reason="optuna is not installed (pip install 'softvq[search]')")

from softvq.sweep.search_journal import DamagedJournalError, open_study, tell_value  # noqa: E402

TRIALS = 2
Line = dict[str, Any]


def space() -> Space:
    overrides = ("data=digits", "bottleneck.K=8,16,32", "penalty_weight=interval(0.1,10.0)")
    return read_space(OverridesParser.create().parse_overrides(list(overrides)))


def opened(path: Path, only_read: bool = False) -> Any:
    return open_study(path, "name", "maximize", space(), only_read)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "search.journal"
    study = opened(path)
    for number in range(TRIALS):
        trial = study.ask(dict(space().searched))
        trial.set_user_attr("cells", space().cells(trial.params))
        tell_value(study, number, number + 0.5)
    assert values(path) == [0.5, 1.5]
    return path


def values(path: Path) -> list[float]:
    return [trial.value for trial in opened(path).get_trials()]


def lines(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def with_entry(name: str, change: Callable[[Line], Line]) -> Callable[[list[Line]], list[Line]]:
    """Changes the first line that has an entry of this name."""

    def edit(found: list[Line]) -> list[Line]:
        n = next(n for n, line in enumerate(found) if name in line)
        return [*found[:n], change(found[n]), *found[n + 1 :]]

    return edit


def with_cells(cells: Any) -> Callable[[list[Line]], list[Line]]:
    return with_entry("user_attr", lambda line: {**line, "user_attr": {"cells": cells}})


def with_value(value: Any) -> Callable[[list[Line]], list[Line]]:
    return with_entry("values", lambda line: {**line, "values": [value]})


ENQUEUED = {"op_code": 4, "worker_id": "x", "study_id": 0, "state": 4, "datetime_start": None}
ALTERED: dict[str, tuple[Callable[[list[Line]], list[Line]], str]] = {
    "cells that call something": (
        with_cells([["data=digits", "bottleneck._target_=os.system", "+bottleneck._args_=[id]"]]),
        "the settings of trial 0 are not those of its cells",
    ),
    "no cells": (with_cells([]), "the settings of trial 0 are not those of its cells"),
    "cells of numbers": (with_cells([[5]]), "the settings of trial 0 are not those of its cells"),
    "cells that are none": (with_cells(5), "Optuna cannot read it (TypeError: "),
    "a digit of a value": (with_value(9.5), "the value of trial 0 was changed: it is 9.5 and 0.5"),
    "no number": (with_value(float("nan")), "trial 0 has ended without settings, or without a value"),
    "a text": (with_value("0.5"), "trial 0 has ended without settings, or without a value"),
    "without end": (with_value(float("inf")), "trial 0 has ended without settings, or without a value"),
    "another choice": (
        with_entry("param_name", lambda line: {**line, "param_value_internal": (line["param_value_internal"] + 1) % 3}),
        "the settings of trial 0 are not those of its cells",
    ),
    "a choice that is not there": (
        with_entry("param_name", lambda line: {**line, "param_value_internal": 99}),
        "Optuna cannot read it (IndexError: ",
    ),
    "another setting": (
        with_entry("param_name", lambda line: {**line, "param_name": "bottleneck._target_"}),
        "trial 0 is about other settings",
    ),
    "other choices": (
        with_entry("param_name", lambda line: {**line, "distribution": line["distribution"].replace("8", "9")}),
        "trial 0 is about other settings",
    ),
    "settings without a value": (
        lambda found: [line for line in found if "param_name" not in line],
        "trial 0 has ended without settings, or without a value",
    ),
    "the other direction": (
        with_entry("directions", lambda line: {**line, "directions": [1]}),
        "it is about another direction",
    ),
    "two directions": (with_entry("directions", lambda line: {**line, "directions": [2, 2]}), "damaged"),
    "an order that there is not": (lambda found: [{"op_code": 99}], "Optuna cannot read it (AssertionError"),
    "a line without entries": (lambda found: [{}], "Optuna cannot read it (KeyError"),
    "a trial to be tried that is not searched": (
        lambda found: [*found, {**ENQUEUED, "system_attrs": {"fixed_params": {"bottleneck._target_": "os.system"}}}],
        "trial 2 is to try what is not searched",
    ),
    "a trial to be tried beyond the bounds": (
        lambda found: [*found, {**ENQUEUED, "system_attrs": {"fixed_params": {"penalty_weight": 1e9}}}],
        "trial 2 is to try what is not searched",
    ),
}


@pytest.mark.parametrize("name", ALTERED)
def test_a_journal_that_was_altered_is_refused(name: str, journal: Path) -> None:
    edit, reason = ALTERED[name]
    journal.write_text("".join(json.dumps(line) + "\n" for line in edit(lines(journal))))
    before = journal.read_bytes()
    with pytest.raises(DamagedJournalError) as error:
        opened(journal)
    assert str(error.value).startswith(f"{journal} is damaged or no search's: ")
    assert reason in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert "move it away, and the search begins anew" in str(error.value)
    assert journal.read_bytes() == before


@pytest.mark.parametrize("content", [b"\xff\n", b"[1,2]\n", b"5\n", b"[" * 100_000 + b"\n", b"\0\n", b"{\n}\n"])
def test_what_is_no_journal_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "search.journal"
    path.write_bytes(content)
    with pytest.raises(DamagedJournalError) as error:
        opened(path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_refused_at_once(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "search.journal"
    make(path)
    with pytest.raises(DamagedJournalError, match=r"it is (a folder|no regular file)"):
        opened(path)


def test_a_line_that_a_killed_process_left_is_cut_off_by_the_next(journal: Path) -> None:
    whole = journal.read_bytes()
    for left in range(1, len(whole.splitlines()[-1]), 7):
        journal.write_bytes(whole[:-left])
        assert [trial.state.name for trial in opened(journal, only_read=True).get_trials()] == ["COMPLETE", "RUNNING"]
        assert journal.read_bytes() == whole[:-left]
        tell_value(opened(journal), 1, 1.5)
        assert values(journal) == [0.5, 1.5]


def test_a_journal_that_is_only_looked_at_stays_as_it_is(journal: Path) -> None:
    before = journal.read_bytes()
    study = open_study(journal, "another", "maximize", space(), only_read=True)
    study.ask(dict(space().searched))
    assert journal.read_bytes() == before
    opened(journal.with_name("new.journal"), only_read=True)
    assert not journal.with_name("new.journal").exists()


def test_a_disk_that_takes_nothing_is_named(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = opened(journal)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("softvq.sweep.search_journal.os.fsync", full)
    with pytest.raises(UnwritableError, match=r"search\.journal cannot be written: No space left on device"):
        study.ask(dict(space().searched))
