"""Lists and compares runs on the terminal: `softvq runs [LOGS ...]` and `softvq runs compare RUN RUN`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from softvq.bounded_files import printable
from softvq.console import screen
from softvq.console.arguments import Parser, path
from softvq.report.judge.comparison import compare
from softvq.report.judge.experiments import make_experiments
from softvq.report.read.collection import collect
from softvq.report.read.curves import read_curve
from softvq.report.read.departures import DefaultSettings, own_configurations
from softvq.report.read.run import Run
from softvq.report.read.run_files import read_run
from softvq.report.read.selection import NICKNAMES, ordered, where
from softvq.report.read.table import table
from softvq.report.write.numbers import tally
from softvq.report.write.terminal import comparison_tables, runs_table
from softvq.report.write.two_curves import two_curves
from softvq.run_folder import DamagedFileError


def main(arguments: Sequence[str] | None = None) -> int:
    """Lists runs, or compares two.

    Returns:
        The program's exit status.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given[:1] == ["compare"]:
            _compare(_compare_parser().parse_args(given[1:]))
        else:
            _list(_list_parser().parse_args(given))
    except (FileNotFoundError, ValueError) as error:
        screen.print_error(str(error))
        return 1
    except OSError as error:
        screen.print_error(f"cannot write {error.filename}: {error.strerror}; choose another file with --out FILE")
        return 1
    return 0


def _list(options: argparse.Namespace) -> None:
    found = collect(options.logs)
    for remark in found.damaged:
        screen.print_warning(f"{remark.folder} is left out: {remark.reason}")
    rows = table(found)
    for condition in options.where:
        rows = where(rows, condition)
    if options.sort:
        rows = ordered(rows, options.sort)
    runs = [found.runs[number] for number in rows.index]
    experiments = make_experiments(runs, DefaultSettings(own_configurations()))
    keys = dict.fromkeys(key for experiment in experiments for key in experiment.keys if "." in key)
    screen.print(runs_table(runs, list(keys)))
    screen.print(tally(found.counts()) if len(runs) == len(found.runs) else f"{len(runs)} of {tally(found.counts())}")


def _compare(options: argparse.Namespace) -> None:
    if options.out.parent != Path() and not options.out.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {options.out.parent} for --out {options.out}")
    first, second = _run(options.first), _run(options.second)
    found = compare(first, second)
    if not found.settings:
        screen.print("the settings that decide the result are the same")
    for part in comparison_tables(found):
        screen.print(part)
    picture = two_curves((first.folder, second.folder), (_curves(first), _curves(second)))
    if picture is None:
        screen.print("no training curve that both runs have")
    else:
        options.out.write_bytes(picture)
        screen.print(f"training curves: {options.out}")


def _run(folder: Path) -> Run:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no run folder {folder}")
    try:
        run = read_run(folder, printable(str(folder)))
    except DamagedFileError as error:
        raise ValueError(f"{folder}: {error.path.name}: {error.reason}") from None
    if run is None:
        raise ValueError(f"{folder} is no run's: it has no config.yaml; `softvq runs {folder}` lists those below it")
    return run


def _curves(run: Run) -> dict[str, list[tuple[int, float]]]:
    assert run.path is not None
    try:
        return read_curve(run.path / "metrics.csv", run.metrics)
    except FileNotFoundError:
        return {}


def _list_parser() -> Parser:
    parser = Parser(
        "softvq runs",
        "Lists the runs below folders. `softvq runs compare RUN RUN` sets two of them side by side.",
    )
    parser.add_argument(
        "logs", nargs="*", type=path, default=[Path("logs")], metavar="LOGS", help="folders of runs (default: logs)"
    )
    parser.add_argument(
        "--sort",
        metavar="NAME",
        help=f"the best first by {', '.join(NICKNAMES)}; or by any other number or setting, as bottleneck.K",
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="only runs with this value, or with one of several separated by commas; may be repeated",
    )
    return parser


def _compare_parser() -> Parser:
    parser = Parser(
        "softvq runs compare",
        "Shows the settings in which two runs differ, their numbers, and their curves in one picture.",
    )
    parser.add_argument("first", type=path, metavar="RUN", help="folder of a run")
    parser.add_argument("second", type=path, metavar="RUN", help="folder of another")
    parser.add_argument(
        "--out",
        type=path,
        default=Path("comparison.png"),
        metavar="FILE",
        help="the picture of both training curves (default: comparison.png)",
    )
    return parser
