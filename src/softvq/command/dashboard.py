"""Saves a sweep's W&B workspace and report: `softvq dashboard --experiment NAME`."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from softvq.bounded_files import first_line
from softvq.config.compose import CONF_DIR
from softvq.console import screen
from softvq.console.arguments import Parser, path
from softvq.durable_files import write_json
from softvq.extras import needed
from softvq.sweep.dashboard import offline_runs, publish, specification, upload_hint


def main(arguments: Sequence[str] | None = None) -> int:
    """Saves the dashboard of a sweep, or writes its specification."""
    options = _parser().parse_args(arguments)
    with needed("softvq dashboard", "dashboard"):
        import wandb_workspaces  # noqa: F401
    if waiting := offline_runs(options.logs / options.experiment):
        screen.print(upload_hint(waiting))
    if options.spec:
        write_json(options.spec, specification(options.experiment, options.project, options.entity or ""))
        screen.print(f"specification: {options.spec}")
        return 0
    try:
        screen.print("\n".join(publish(options.experiment, options.project, options.entity)))
    except Exception as error:  # whatever W&B raises
        screen.print_error(f"no dashboard: {first_line(error)} (--spec FILE writes it without a server)")
        return 1
    return 0


def _parser() -> Parser:
    tracker = yaml.safe_load((CONF_DIR / "logger" / "wandb.yaml").read_text(encoding="utf-8"))
    parser = Parser("softvq dashboard", "Makes the W&B workspace and report of a sweep.")
    parser.add_argument("--experiment", required=True, metavar="NAME", help="the sweep: its experiment_name")
    parser.add_argument("--logs", type=path, default=Path("logs"), metavar="DIR", help="where its runs lie")
    parser.add_argument("--project", default=tracker["project"], metavar="NAME", help="W&B's (default: %(default)s)")
    parser.add_argument("--entity", default=tracker["entity"], metavar="NAME", help="W&B's (default: the login's)")
    parser.add_argument("--spec", type=path, metavar="FILE", help="write the specification as JSON and send nothing")
    return parser
