"""Writes the page: `softvq explore RUN [RUN ...] [--out PAGE.html]`."""

from collections.abc import Sequence

from softvq.console import screen
from softvq.console.arguments import Parser, number, path
from softvq.durable_files import UnwritableError
from softvq.extras import MissingExtraError
from softvq.run.recorded import finished_metrics
from softvq.run_folder import EXPLORED


def main(arguments: Sequence[str] | None = None) -> int:
    """Explores runs; the exit status."""
    options = _parser().parse_args(arguments)
    out = options.out or options.runs[0] / EXPLORED
    try:
        for run in options.runs:
            finished_metrics(run)  # before torch is loaded, which takes seconds
        if out.is_dir():
            raise ValueError(f"--out {out} is a folder; name the page, as --out {out / EXPLORED}")
        from softvq.explore.write import write

        size = write(options.runs, out, options.points, options.device)
    except MissingExtraError:
        raise
    except UnwritableError as error:
        screen.print_error(f"{error.path} cannot be written: {error.reason}; choose another --out FILE")
        return 1
    except (ValueError, OSError) as error:
        screen.print_error(str(error))
        return 1
    screen.print(f"page: {out} ({size / 1e6:.1f} MB)")
    return 0


def _parser() -> Parser:
    parser = Parser(
        "softvq explore",
        "One page to look into codes: maps, images under the pointer, clusters against classes, codewords.",
    )
    parser.add_argument("runs", nargs="+", type=path, metavar="RUN", help="folders of finished runs on the same data")
    parser.add_argument(
        "--out",
        type=path,
        metavar="PAGE.html",
        help=f"the page (default: {EXPLORED} in the first run's folder, where the report finds it)",
    )
    parser.add_argument(
        "--points", type=number(int, 1), default=2500, metavar="N", help="test images on the map (default: 2500)"
    )
    parser.add_argument("--device", default="cpu", help="of torch (default: cpu)")
    return parser
