"""Calls a Hydra program's main function so that a person reads messages, not tracebacks."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from softvq import stop
from softvq.bounded_files import first_line
from softvq.command.arguments import UsageError, check_arguments, without_effect
from softvq.config.errors import culprit, explain, faults
from softvq.console import screen
from softvq.run.process import forget_foreign_ranks
from softvq.run_folder import RunFolder, unusable
from softvq.surroundings import GONE, current_folder_is_gone

FULL_ERROR = "HYDRA_FULL_ERROR"
SHOW_ALL = os.environ.get(FULL_ERROR) == "1"


@contextmanager
def plain_errors() -> Iterator[None]:
    """Shows an error about a setting or a file as its message alone, and ends the program with status 1."""
    try:
        yield
    except (ValueError, OSError) as error:
        if SHOW_ALL:
            raise
        screen.print_error(str(error))
        raise SystemExit(1) from None
    except (ImportError, MemoryError) as error:
        if SHOW_ALL or (said := no_room(error)) is None:
            raise
        screen.print_error(said)
        raise SystemExit(1) from None


def no_room(error: ImportError | MemoryError) -> str | None:
    """What to say where a process may not have the memory that it needs; None where a module is simply not there."""
    if isinstance(error, ModuleNotFoundError):
        return None
    if isinstance(error, MemoryError):
        return f"{first_line(error)}: there is too little memory; see `ulimit -v`, or choose smaller settings"
    return (
        f"a library cannot be loaded ({first_line(error)}): this process has too little memory (see `ulimit -v`), or "
        "the installation is damaged"
    )


def call(main: Callable[[], Any], config_name: str, file: str, arguments: Sequence[str]) -> None:
    """Runs a Hydra program on some arguments.

    One's own modules in the current folder can be imported, as `_target_` may name them.

    Args:
        main: its function under `hydra.main`.
        config_name: of its configuration.
        file: its name, which Hydra takes from the process's arguments.
        arguments: its own.
    """
    sys.argv = [file, *arguments]
    # One's own classes lie in the current folder; not if it is a run's, which anybody may have written.
    if os.getcwd() not in sys.path and not RunFolder(os.getcwd()).config.exists():
        sys.path.append(os.getcwd())
    try:
        check_arguments(sys.argv[1:], config_name)
    except UsageError as error:
        screen.print_error(str(error))
        sys.exit(2)
    for note in without_effect(arguments):
        screen.print(f"note: {note}")
    run(main, config_name)


def run(main: Callable[[], Any], config_name: str) -> None:
    """Calls a Hydra program's main function; what a person mistyped becomes messages instead of a traceback.

    HYDRA_FULL_ERROR=1 brings the traceback back. SIGINT ends with status 130, SIGTERM with 143; see `softvq.stop`.
    """
    forget_foreign_ranks()
    before = os.environ.get(FULL_ERROR, "0")
    os.environ[FULL_ERROR] = "1"  # makes Hydra raise its exceptions instead of printing them
    try:
        with stop.raised():
            main()
    except (HydraException, OmegaConfBaseException) as error:
        if signum := stop.requested():  # which Hydra has taken for a fault of the configuration
            _end_stopped(stop.Stopped(signum))
        if SHOW_ALL:
            raise
        if current_folder_is_gone():  # since the program began
            screen.print_error(GONE)
        else:
            _print_faults(error, config_name)
        sys.exit(1)
    except Exception as error:
        if SHOW_ALL or not _from_hydra(error):
            raise
        # Hydra writes nothing but the folder of a run, so an error about a file is about that folder.
        if isinstance(error, OSError) and error.filename:
            said = unusable(error)
        else:  # what its assertions say is about its own code
            said = "" if isinstance(error, AssertionError | LookupError) else str(error).partition("\n")[0]
        screen.print_error(said or f"Hydra stops with {type(error).__name__}: a setting under hydra does not fit")
        sys.exit(1)
    except stop.Stopped as stopped:
        _end_stopped(stopped)
    finally:
        os.environ[FULL_ERROR] = before
        screen.close_bars()


def _from_hydra(error: Exception) -> bool:
    """Whether Hydra itself met an error, while it composed a configuration or made the folder of a run."""
    assert error.__traceback__ is not None
    below = walk_tb(error.__traceback__.tb_next)  # of `run`, which is of this package
    packages = {frame.f_globals["__name__"].partition(".")[0] for frame, _ in below}
    return "hydra" in packages and "softvq" not in packages


def _end_stopped(stopped: stop.Stopped) -> NoReturn:
    if stop.has_last_word():
        screen.print_end(str(stopped))
    sys.exit(stopped.exit_code)


def _print_faults(error: Exception, config_name: str) -> None:
    arguments = get_args_parser().parse_args()
    single = [override for override in arguments.overrides if not (arguments.multirun and _is_sweep(override))]
    own = [Path(folder).resolve() for folder in ("conf", arguments.config_dir) if folder and Path(folder).is_dir()]
    lines = faults(single, config_name, own) or [explain(error, culprit(error, arguments.overrides), {})]
    for line in lines:
        screen.print_error(line)


def _is_sweep(override: str) -> bool:
    try:
        return OverridesParser.create().parse_override(override).is_sweep_override()
    except HydraException:
        return False
