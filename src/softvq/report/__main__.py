"""Writes the report: `softvq report [LOGS ...] [--out DIR]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from softvq.config.compose import CONF_DIR
from softvq.report.read.collect import collect
from softvq.report.read.defaults import Defaults
from softvq.report.write.content import build
from softvq.report.write.figure_4 import panels
from softvq.report.write.latex import latex
from softvq.report.write.markdown import markdown
from softvq.report.write.page import page
from softvq.run_folder import write_json, write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads run folders and writes tables.md, tables.tex, results.json and report.html."""
    options = _parser().parse_args(arguments)
    out = options.out or options.logs[0] / "report"
    try:
        collection = collect(options.logs)
        content = build(collection, Defaults(options.conf), options.fidelity or (), options.band)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    figure = panels(content["figure_4"], {run.folder: run for run in collection.runs}, out / ".cache")
    write_json(out / "results.json", content)
    write_text(out / "tables.md", markdown(content))
    write_text(out / "tables.tex", latex(content))
    write_text(out / "report.html", page(content, collection.runs, out, options.logs, figure))
    counts = {key: len(content[key]) for key in ("runs", "failed", "incomplete", "damaged")}
    print(
        f"{counts['runs']} finished runs, {counts['failed']} failed, {counts['incomplete']} incomplete, "
        f"{counts['damaged']} damaged; report: {out / 'report.html'}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="softvq report", description="Sets finished runs beside the paper's tables and claims."
    )
    parser.add_argument(
        "logs", nargs="*", type=Path, default=[Path("logs")], metavar="LOGS", help="folders of runs (default: logs)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the report goes (default: LOGS/report)")
    parser.add_argument(
        "--fidelity",
        action="append",
        choices=("paper", "released"),
        help="only these runs; may be repeated (default: all)",
    )
    parser.add_argument(
        "--band",
        type=float,
        default=0.1,
        metavar="PART",
        help="equal distortion: how far the band of errors reaches from its middle, as a part of it (default: 0.1)",
    )
    parser.add_argument(
        "--conf", type=Path, default=CONF_DIR, metavar="DIR", help="the configurations that define the defaults"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
