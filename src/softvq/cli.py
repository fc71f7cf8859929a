"""What a person reads instead of Hydra's own errors: the key, the value, and the way out."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from softvq.config import CONF_DIR, compose, leaf_keys, nearest
from softvq.console import screen
from softvq.runs import unusable

FULL_ERROR = "HYDRA_FULL_ERROR"
SHOW_ALL = os.environ.get(FULL_ERROR) == "1"
INTERRUPTED = 130  # as shells have it: 128 + SIGINT
FOUND_LATER = {"network.d"}  # once the headers of one's own data are read
NOT_CHOICES = {"base"}  # what the files of a group share


def options(group: str) -> list[str]:
    """The choices of a group, by the names of its files."""
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml") if path.stem not in NOT_CHOICES)


OmegaConf.register_new_resolver("options", lambda group: ", ".join(options(group)), replace=True)  # for --help


def groups() -> list[str]:
    """The groups whose choices are made by name."""
    return sorted(path.name for path in CONF_DIR.iterdir() if path.is_dir() and path.name not in ("hydra", "preset"))


def faults(overrides: Sequence[str], config_name: str = "train") -> list[str]:
    """Everything that is wrong with the overrides of one cell, a message each; empty if they compose.

    Args:
        overrides: of a single run, as typed.
        config_name: of the program's configuration.
    """
    found: list[tuple[Exception, str | None]] = []
    rest = list(overrides)
    config: DictConfig | None = None
    while config is None:
        try:
            config = compose(CONF_DIR, config_name, rest)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            culprit = _culprit(error, rest)
            found.append((error, culprit))
            if culprit is None:
                return [explain(*fault, {}) for fault in found]
            rest.remove(culprit)
    known: dict[str, Any] = OmegaConf.to_container(config)  # type: ignore[assignment]
    return [explain(*fault, known) for fault in found] + missing_values(config)


def missing_values(config: DictConfig) -> list[str]:
    """A message for each value that only the command line can give and did not."""
    return [
        f"{key} has no value; add {key}=..."
        for key in _missing(OmegaConf.to_container(config))
        if key not in FOUND_LATER
    ]


def _missing(node: Any, key: str = "") -> list[str]:
    if isinstance(node, Mapping):
        return [found for name in node for found in _missing(node[name], f"{key}.{name}" if key else str(name))]
    return [key] if node == MISSING else []


def _culprit(error: Exception, overrides: Sequence[str]) -> str | None:
    """The override that an exception is about, as typed."""
    message = str(error)
    if isinstance(error, OverrideParseException):
        return error.override if error.override in overrides else None
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return next((o for o in overrides if _key(o) == group and o.endswith(f"={option}")), None)
    if isinstance(error, OmegaConfBaseException):
        key = error.full_key
    else:
        named = re.search(
            r"Could not (?:override|delete from config\.) '([^']+)'|argument '([^=]+)=|Multiple values for ([\w/]+)",
            message,
        )
        key = next((name for name in named.groups() if name), None) if named else None
    return next((o for o in overrides if _key(o) == key), None)


def _key(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+~").split("@", 1)[0]


def explain(error: Exception, override: str | None, config: Mapping[str, Any]) -> str:
    """One message for what composing a configuration raised.

    Args:
        error: what was raised.
        override: what it is about, as typed; None if that is not known.
        config: what the other overrides compose, for the names that would have been right.
    """
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    if override is None:
        return first_line
    key, value = _key(override), override.partition("=")[2]
    if isinstance(error, OverrideParseException):
        return (
            f"{override!r} cannot be read ({first_line}); write KEY=VALUE, a list as KEY=[1,2], "
            "and quote twice what holds other signs: 'KEY=\"a=b\"'"
        )
    if isinstance(error, MissingConfigException):
        choices = options(key) or list(error.options or [])
        return f"{override}: {key} has no choice {value}; {_instead(value, choices)}"
    if isinstance(error, OmegaConfBaseException):
        return f"{override}: {first_line}"
    if "Ambiguous value" in first_line:
        return f"{override} names several values; add -m to run each of them, or write a list as {key}=[{value}]"
    if "Multiple values" in first_line:
        return f"{override}: {key} is chosen already; write {override.lstrip('+')}"
    return f"{override}: there is no {_unknown(key, config)}"


def _instead(word: str, words: Sequence[str]) -> str:
    """`did you mean X? There are X, Y`."""
    same = [other for other in words if other.casefold() == word.casefold()]
    close = nearest(word, words).removeprefix("; ") if not same else f"did you mean {same[0]}?"
    listed = ", ".join(words)
    return f"{close} There are {listed}" if close else f"there are {listed}"


def _unknown(key: str, config: Mapping[str, Any]) -> str:
    """`key K of ...; did you mean ...?`, or what there is instead."""
    parent, _, leaf = key.rpartition(".")
    node: Any = config
    for name in parent.split(".") if parent else []:
        node = node.get(name) if isinstance(node, Mapping) else None
    if parent and isinstance(node, Mapping):
        return (
            f"key {leaf} in {parent}; {_instead(leaf, [str(name) for name in node if not str(name).startswith('_')])}"
        )
    close = nearest(key, [*leaf_keys(config), *groups()])
    return f"key {key}{close or '; `python train.py --help` shows the groups, `--cfg job` all keys'}"


@contextmanager
def plain_errors() -> Iterator[None]:
    """What a setting or a file lacks is said in the words of the error alone, and ends the program with status 1."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        if SHOW_ALL:
            raise
        screen.print_error(str(error))
        raise SystemExit(1) from None


def run(main: Callable[[], Any]) -> None:
    """Calls a Hydra program's main function; what a person mistyped becomes messages instead of a traceback.

    HYDRA_FULL_ERROR=1 brings the traceback back. Ctrl-C ends with status 130.
    """
    before = os.environ.get(FULL_ERROR, "0")
    os.environ[FULL_ERROR] = "1"  # Hydra hands its exceptions on
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        if SHOW_ALL:
            raise
        _print_faults(error)
        sys.exit(1)
    except OSError as error:
        if SHOW_ALL or not _from_hydra(error):
            raise
        screen.print_error(unusable(error))
        sys.exit(1)
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # what Lightning makes of it
            _interrupted()
        raise
    finally:
        os.environ[FULL_ERROR] = before
        screen.close_bars()


def _from_hydra(error: OSError) -> bool:
    """Whether Hydra itself met a file error: all that it writes is the folder of a run."""
    assert error.__traceback__ is not None
    below = walk_tb(error.__traceback__.tb_next)  # of `run`, which is of this package
    return bool(error.filename) and not any(frame.f_globals["__name__"].startswith("softvq.") for frame, _ in below)


def _print_faults(error: Exception) -> None:
    arguments = get_args_parser().parse_args()
    single = [override for override in arguments.overrides if not (arguments.multirun and _is_sweep(override))]
    lines = faults(single, Path(sys.argv[0]).stem) or [explain(error, _culprit(error, arguments.overrides), {})]
    for line in lines:
        screen.print_error(line)


def _is_sweep(override: str) -> bool:
    try:
        return OverridesParser.create().parse_override(override).is_sweep_override()
    except HydraException:
        return False


def _interrupted() -> None:
    screen.close_bars()
    screen.print_error("interrupted; the same command goes on from the last checkpoint")
    sys.exit(INTERRUPTED)
