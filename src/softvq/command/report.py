"""Writes the report: `softvq report [LOGS ...] [--out DIR]`."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from softvq.console import screen
from softvq.console.arguments import Parser, number, path
from softvq.durable_files import UnwritableError
from softvq.report.read.collection import collect
from softvq.report.read.departures import DefaultSettings, own_configurations
from softvq.report.write.files import PAGE, write_report
from softvq.report.write.numbers import tally
from softvq.report.write.results import results


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads run folders and writes the report's files.

    Returns:
        The program's exit status.
    """
    options = _parser().parse_args(arguments)
    out = options.out or _beside(options.logs[0])
    try:
        collection = collect(options.logs)
        defaults = DefaultSettings(options.config_dir or own_configurations())
        content = results(collection, defaults, options.fidelity or (), options.band)
    except (FileNotFoundError, ValueError) as error:
        screen.print_error(str(error))
        return 1
    try:
        write_report(content, collection.runs, defaults, out, options.logs, _date())
    except ValueError as error:
        screen.print_error(str(error))
        return 1
    except OSError as error:
        place, reason = (error.path, error.reason) if isinstance(error, UnwritableError) else (out, error.strerror)
        screen.print_error(f"cannot write {error.filename or place}: {reason}; choose another folder with --out DIR")
        return 1
    screen.print(f"{tally(content['counts'])}; report: {out / PAGE}")
    return 0


def _beside(logs: Path) -> Path:
    return (logs.parent if logs.suffix == ".csv" else logs) / "report"


def _date() -> datetime:
    """Now, or what SOURCE_DATE_EPOCH says, by which equal runs give equal bytes."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)


def _parser() -> Parser:
    parser = Parser(
        "softvq report",
        "Shows what was run, experiment by experiment, and sets it beside the paper's tables and claims.",
    )
    parser.add_argument(
        "logs",
        nargs="*",
        type=path,
        default=[Path("logs")],
        metavar="LOGS",
        help="folders of runs, or tables runs.csv of earlier reports (default: logs)",
    )
    parser.add_argument("--out", type=path, metavar="DIR", help="where the report goes (default: LOGS/report)")
    parser.add_argument(
        "--fidelity",
        action="append",
        choices=("paper", "released"),
        help="only these runs; may be repeated (default: all)",
    )
    parser.add_argument(
        "--band",
        type=number(float, 0, 1),
        default=0.1,
        metavar="PART",
        help="equal distortion: how far the band of errors reaches from its middle, as a part of it (default: 0.1)",
    )
    parser.add_argument(
        "--config-dir",
        action="append",
        type=path,
        metavar="DIR",
        help="one's own configurations, as those of `softvq train`, for the defaults of their runs (default: ./conf)",
    )
    return parser
