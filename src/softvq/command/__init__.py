"""The command `softvq`: one subcommand for each thing that can be done; each loads only what it needs."""

import sys
from collections.abc import Sequence
from importlib import import_module

from softvq import stop
from softvq.extras import MissingExtraError
from softvq.surroundings import GONE, current_folder_is_gone, shut_out_matplotlib_settings, speak_utf8

# name of the module here whose `main(arguments)` runs it -> what it does in a line
COMMANDS = {
    "train": "train and probe one cell, or with -m a sweep of them",
    "evaluate": "probe a finished run again: another protocol, tap or data",
    "plan": "show what `softvq train -m` would do, and start nothing",
    "runs": "list runs, or compare two of them",
    "report": "tables and report.html from the run folders below LOGS",
    "explore": "one page to look into codes: maps, clusters, codewords",
    "export": "a run's model as safetensors and ONNX, with a model card",
    "dashboard": "the W&B workspace and report of a sweep",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand; the exit status.

    Args:
        arguments: its name and its own arguments; by default those of the process.
    """
    if arguments is None:
        speak_utf8()
    stop.listen()  # before anything large is imported
    from softvq.console import screen

    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("--help", "-h", "help"):
        screen.print(_help())
        return 0
    if name == "--version":
        from importlib.metadata import version

        screen.print(f"softvq {version('softvq')}")
        return 0
    if name not in COMMANDS:
        screen.print_error(f"softvq has no command {name}; there are {', '.join(COMMANDS)}")
        return 2
    if current_folder_is_gone():
        screen.print_error(GONE)
        return 1
    shut_out_matplotlib_settings()
    try:
        return import_module(f"softvq.command.{name}").main(rest) or 0
    except MissingExtraError as error:
        screen.print_error(str(error))
    except (ImportError, MemoryError) as error:
        from softvq.command.program import no_room

        if (said := no_room(error)) is None:
            raise
        screen.print_error(said)
    return 1


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "Which bottleneck gives an autoencoder the most useful code?",
            "",
            "  softvq COMMAND ...      `softvq COMMAND --help` explains its arguments",
            "",
            *lines,
        ]
    )
