"""The runs as one small table, a row a run, for keeping results where the run folders are too large.

Columns: what a run is (`experiment` to `tap`), every setting in which some run departs from its default, the numbers
(fractions of 1), diagnostics, and what identifies settings, data and code. An empty field is a number or setting that
the run does not have.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softvq.bounded_files import printable, read_text
from softvq.published import NUMBERS
from softvq.report.read.fields import as_typed
from softvq.report.read.run import Departures, Run, setting

IDENTITY = ("experiment", "data", "bottleneck", "fidelity", "seed", "steps", "protocol", "tap")
ORIGIN = ("config_hash", "settings_hash", "data_sha256", "verified", "commit", "device")
BECAME = ("status", "folder", "reason", "collapsed")
DEFAULTS = "defaults"  # column with the defaults of the settings that differ from them, as JSON: key -> default
DIAGNOSTICS = "diagnostics."
LARGEST_TABLE = 2**26  # bytes; 100,000 runs have about 50 million
TEXTS = {*IDENTITY, *ORIGIN, *BECAME} - {"seed", "steps", "verified"}


def runs_csv(runs: Sequence[Run], departures: Sequence[Departures]) -> str:
    """The table of runs, in their order.

    Args:
        runs: a row each.
        departures: of each run.
    """
    settings = sorted({key for found in departures for key, _, _ in found.all})
    measured = sorted({name for run in runs for name in run.diagnostics})
    columns = [
        *IDENTITY,
        *settings,
        *NUMBERS,
        *(f"{DIAGNOSTICS}{name}" for name in measured),
        *ORIGIN,
        *BECAME,
        DEFAULTS,
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for run, found in zip(runs, departures, strict=True):
        row = {
            **{key: setting(run, key) for key in settings},
            **run.values,
            **{f"{DIAGNOSTICS}{name}": value for name, value in run.diagnostics.items()},
            **{key: getattr(run, key) for key in (*IDENTITY, *ORIGIN, *BECAME)},
            DEFAULTS: {key: default for key, _, default in found.all} or None,
        }
        writer.writerow({key: _as_text(value) for key, value in row.items()})
    return text.getvalue()


def read_runs_csv(path: Path) -> list[Run]:
    """The runs of a table that `runs_csv` wrote; they have neither pictures nor curves.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no such table.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, LARGEST_TABLE)), strict=True)
        rows, columns = list(reader), reader.fieldnames or ()
    except csv.Error as error:
        raise ValueError(f"{path} is no table of runs: {error}") from None
    if lacking := [name for name in (*IDENTITY, *ORIGIN, *BECAME) if name not in columns]:
        raise ValueError(f"{path} is no table of runs: it has no column {lacking[0]}")
    found = []
    for number, row in enumerate(rows, 2):
        try:
            found.append(_run({key: _from_text(key, value) for key, value in row.items() if value}))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is no table of runs, line {number}: {type(error).__name__}: {error}") from None
    return found


def _run(row: Mapping[str, Any]) -> Run:
    known = {*IDENTITY, *NUMBERS, *ORIGIN, *BECAME, DEFAULTS}
    text = {key: row.get(key, "") for key in TEXTS}
    settings = {key: value for key, value in row.items() if key not in known and not key.startswith(DIAGNOSTICS)}
    departing = [(key, as_typed(row.get(key)), str(default)) for key, default in (row.get(DEFAULTS) or {}).items()]
    return Run(
        folder=text["folder"],
        path=None,
        status=text["status"],
        data=text["data"],
        bottleneck=text["bottleneck"],
        seed=int(row["seed"]),
        fidelity=text["fidelity"],
        experiment=text["experiment"],
        protocol=text["protocol"],
        tap=text["tap"],
        steps=None if row.get("steps") is None else int(row["steps"]),
        values={name: float(row[name]) for name in NUMBERS if row.get(name) is not None},
        diagnostics={key.removeprefix(DIAGNOSTICS): v for key, v in row.items() if key.startswith(DIAGNOSTICS)},
        choices={key: value for key, value in settings.items() if "." not in key},
        settings=_nested({key: value for key, value in settings.items() if "." in key}),
        settings_hash=text["settings_hash"],
        config_hash=text["config_hash"],
        data_sha256=text["data_sha256"],
        verified=row.get("verified"),
        commit=text["commit"] or None,
        device=text["device"] or None,
        reason=text["reason"],
        collapsed=text["collapsed"],
        departures=Departures.of(departing),
    )


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        *parents, leaf = key.split(".")
        inside = nested
        for name in parents:
            inside = inside.setdefault(name, {})
        inside[leaf] = value
    return nested


def _as_text(value: Any) -> str:
    """A value as a field of the table: text as it is, anything else as JSON."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _from_text(key: str, text: str) -> Any:
    """The value of a field. The columns in TEXTS stay text: a commit may consist of digits alone."""
    try:
        return printable(text) if key in TEXTS else json.loads(text)
    except ValueError:
        return printable(text)
