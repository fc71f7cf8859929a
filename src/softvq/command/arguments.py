"""Refuses arguments that Hydra would refuse with a message about itself, or would misread."""

import re
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from softvq.config.compose import NOT_CHOICES, groups, options
from softvq.config.overrides import key_of

# Parts of `hydra` that say what Hydra found, or by which softvq checks what was typed.
FOUND = ("runtime", "overrides", "callbacks")
FOUND_OF_JOB = ("name", "override_dirname", "id", "num", "config_name")
OF_TRAINING = ("data.image_shape", "data.pixel_offset", "data.output_activation", "data.batch_size")
FOR_EVALUATING = ("searchpath", "verbose", "job_logging", "hydra_logging")


class UsageError(ValueError):
    """Arguments that are not written as this program reads them."""


def check_arguments(arguments: Sequence[str], config_name: str) -> None:
    """Refuses flags that there are not, with the way to write a setting.

    Args:
        arguments: of the program, as typed.
        config_name: of the program: `train` or `evaluate`.

    Raises:
        UsageError: naming the argument and how it is written.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    known, unknown = parser.parse_known_args(list(arguments))
    if unknown:
        raise UsageError(_rewritten(unknown, arguments))
    if known.experimental_rerun:
        raise UsageError("--experimental-rerun runs whatever its file says; a run's settings are in its config.yaml")
    for override in known.overrides:
        _check_choice(override)
        _check_hydra(override, evaluating=config_name == "evaluate")
    if config_name == "evaluate":
        if known.multirun:
            raise UsageError("evaluate probes one run at a time; drop -m")
        for override in known.overrides:
            if key_of(override) == "network":
                raise UsageError(f"{override} has no effect: a run keeps its network; drop it")
            if key_of(override) in OF_TRAINING:
                raise UsageError(f"{override} has no effect: a run keeps what it was trained with; drop it")
            if "=" not in override and not override.startswith("~"):
                raise UsageError(f"{override!r} cannot be read; write run={override}")


def _check_choice(override: str) -> None:
    """Refuses a group without a choice and a number as a choice, for which Hydra's messages name no way out."""
    if override.startswith("="):
        raise UsageError(f"{override!r} cannot be read; write KEY=VALUE")
    if override.startswith("~") and override[1:] in groups():
        group = override[1:]
        raise UsageError(f"{group} has no choice; leave it out, or choose one of {', '.join(options(group))}")
    group, given, value = override.partition("=")
    if not given or group not in groups():
        return
    paths = [choice for choice in re.split(r"[\[\],\s]+", value) if choice and _is_path(choice)]
    if paths:
        raise UsageError(f"{override}: {group} has no choice {paths[0]}; there are {', '.join(options(group))}")
    if value in ("null", *NOT_CHOICES) or re.fullmatch(r"\s*|[-+]?[\d.]+|true|false|\{.*", value, re.IGNORECASE):
        choices = ", ".join(options(group))
        raise UsageError(f"{override}: {group} has no choice {value or 'without a name'}; there are {choices}")


def _check_hydra(override: str, evaluating: bool) -> None:
    """Refuses to take away or to set what only Hydra knows; what an evaluation has no use for as well."""
    hydra, *parts = re.split(r"[./]", key_of(override))
    if hydra != "hydra":
        return
    if override.startswith("~"):
        raise UsageError(f"{override}: nothing under hydra can be taken away; drop it")
    found = parts[:1] and (parts[0] in FOUND or (parts[0] == "job" and parts[1:] and parts[1] in FOUND_OF_JOB))
    if parts[:1] == ["mode"]:
        raise UsageError(f"{override}: write -m in place of it for several cells, or drop it")
    if found and not override.startswith("+"):
        raise UsageError(f"{override}: {key_of(override)} is what the program itself sets; drop it")
    if evaluating and parts[:1] and parts[0] not in FOR_EVALUATING:
        raise UsageError(f"{override} has no effect: an evaluation goes into its run's folder, or to out=PATH; drop it")


def without_effect(arguments: Sequence[str]) -> list[str]:
    """What to say of each setting that a later argument sets again, to another value.

    Example:
        >>> without_effect(["seed=1", "bottleneck=vq", "seed=2"])
        ['seed=1 has no effect, as seed=2 follows it']
    """
    typed = [argument for argument in arguments if re.match(r"[\w+][^=]*=", argument)]
    last = {key_of(override): override for override in typed}
    return [
        f"{override} has no effect, as {last[key_of(override)]} follows it"
        for override in typed
        if override.lstrip("+") != last[key_of(override)].lstrip("+")
    ]


def _is_path(choice: str) -> bool:
    """Whether a choice is written as a file: with its suffix, or by a way that leaves the group's folder."""
    return choice.endswith((".yaml", ".yml")) or not {"", ".", ".."}.isdisjoint(choice.split("/"))


def _refuse(message: str) -> NoReturn:
    setting = re.search(r"argument --([\w-]+).* ignored explicit argument '(.*)'", message)  # --run=PATH
    if setting and setting[1] != "run":  # a flag of the program
        message = f"--{setting[1]} takes no value; write --{setting[1]}"
    elif setting:
        message = f"--{setting[1]}={setting[2]}: settings have no dashes; write {setting[1]}={setting[2]}"
    raise UsageError(message)


def _rewritten(unknown: Sequence[str], arguments: Sequence[str]) -> str:
    """What to write in place of `--lr=0.1`, `--lr 0.1` or `-lr 0.1`."""
    flag = unknown[0]
    if not flag.startswith("-"):
        return f"{flag} stands behind a flag among settings; write the flags first, as -m SETTING SETTING"
    name, _, value = flag.lstrip("-").partition("=")
    key = re.sub(r"-", "_", name)
    position = list(arguments).index(flag)
    if not value and position + 1 < len(arguments) and "=" not in arguments[position + 1]:
        value = arguments[position + 1]
    return f"{flag}: settings have no dashes; write {key}={value or 'VALUE'}"
