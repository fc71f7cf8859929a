"""What a person reads instead of Hydra's own errors: the key, the value, and the way out."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from softvq.config.compose import CONF_DIR, compose, groups, leaf_keys, nearest, options
from softvq.config.kinds import mapping
from softvq.config.nicknames import written_here
from softvq.config.overrides import key_of, refused_list
from softvq.config.schema import kind_of
from softvq.extras import MissingExtraError

# Configurations of Hydra's own launchers, which ours extend, and the packages that bring them.
LAUNCHERS = {
    "hydra/launcher/joblib": "hydra-joblib-launcher",
    "hydra/launcher/submitit_local": "hydra-submitit-launcher",
    "hydra/launcher/submitit_slurm": "hydra-submitit-launcher",
}
LOOSE_COMMA = r"^,|[\[(],|,\s*(?=[,\])]|$)"
FOUND_LATER = {"network.d", "data.image_shape"}  # once the headers of one's own data are read


def faults(overrides: Sequence[str], config_name: str = "train", own: Sequence[Path] = ()) -> list[str]:
    """Everything that is wrong with the overrides of one cell, a message each; empty if they compose.

    Args:
        overrides: of a single run, as typed.
        config_name: of the program's configuration.
        own: folders of configurations beside the package's own.
    """
    found: list[tuple[Exception, str | None]] = []
    rest = list(overrides)
    config: DictConfig | None = None
    while config is None:
        try:
            config = compose(config_name, rest, own)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            override = culprit(error, rest)
            found.append((error, override))
            if override is None:
                return [explain(*fault, {}, own) for fault in found]
            rest.remove(override)
    known: dict[str, Any] = OmegaConf.to_container(config)  # type: ignore[assignment]
    named = [explain(*fault, known, own, config_name) for fault in found]
    typed = {key_of(override) for _, override in found if override}
    return named + [fault for fault in missing_values(config) if fault.partition(" ")[0] not in typed]


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


def culprit(error: Exception, overrides: Sequence[str]) -> str | None:
    """The override that an exception is about, as typed."""
    message = str(error)
    if isinstance(error, OverrideParseException):
        return error.override if error.override in overrides else None
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        choosing = [o for o in overrides if key_of(o) == group]
        return next((o for o in choosing if option in _chosen(o) or str(error.missing_cfg_file) in LAUNCHERS), None)
    if listed := next((o for o in overrides if refused_list(o)), None):  # what fails is whatever reads the choice
        return listed
    if isinstance(error, OmegaConfBaseException):
        key = error.full_key
    else:
        named = re.search(
            r"Could not (?:override|delete from config\.) '([^']*)'|argument '([^=]+)=|parameters? '([^=]+)=|"
            r"Multiple values for ([\w/]+)|merging override ([^=]+)=|^([\w/]+) appears more than once",
            message,
        )
        key = next((name for name in named.groups() if name is not None), None) if named else None
    twice = "appears more than once" in message  # of which one was added to the other
    return next((o for o in overrides if key_of(o) == key and (o.startswith("+") or not twice)), None)


def _chosen(override: str) -> list[str]:
    """The choices that an override makes of a group: several in `logger=[csv,wandb]`."""
    value = override.partition("=")[2]
    return [choice.strip() for choice in value.removeprefix("[").removesuffix("]").split(",")]


def explain(
    error: Exception,
    override: str | None,
    config: Mapping[str, Any],
    own: Sequence[Path] = (),
    config_name: str = "train",
) -> str:
    """One message for what composing a configuration raised.

    Args:
        error: what was raised.
        override: what it is about, as typed; None if that is not known.
        config: what the other overrides compose, for the names that would have been right.
        own: folders of configurations beside the package's own.
        config_name: of the program's configuration.
    """
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    if override is None:
        return re.sub(r"is blocklisted .*", "may run whatever it is given, and is not called", first_line)
    key, value = key_of(override), override.partition("=")[2]
    if isinstance(error, OverrideParseException) or not key:
        return f"{override!r} cannot be read: {_unreadable(override)}"
    if isinstance(error, MissingConfigException):
        if str(error.missing_cfg_file) in LAUNCHERS:
            return str(MissingExtraError(override, LAUNCHERS[str(error.missing_cfg_file)], "sweep"))
        choices = options(key, own) or list(error.options or [])
        wrong = str(error.missing_cfg_file).rpartition("/")[2] if value.startswith("[") else value
        return f"{override}: {key} has no choice {wrong}; {_instead(wrong, choices)}"
    if listed := refused_list(override):
        return listed
    if isinstance(error, OmegaConfBaseException):
        return f"{override}: {first_line}"
    if "Ambiguous value" in first_line or "requires --multirun" in first_line:
        return f"{override} names several values; add -m to run each of them{_one_value(key, value, config)}"
    if "merging override" in first_line:
        return f"{override}: {_wrong_kind(key, value, error)}"
    if "Multiple values" in first_line or "appears more than once" in first_line:
        return f"{override}: {key} is chosen already; write {override.lstrip('+')}"
    if override.startswith("~") and key in leaf_keys(config):  # null, which Hydra takes for absent
        return f"{override}: {key} has no value that could be taken away; drop it"
    if key in leaf_keys(config) and value.startswith("{"):
        return f"{override}: {key} has no such entries yet; write +{key}.NAME=VALUE for each"
    if config_name == "evaluate" and key.partition(".")[0] not in config and not nearest(key, leaf_keys(config)):
        return f"{override}: a run keeps what it was trained with; `softvq evaluate --help` shows what can be set"
    return f"{override}: there is no {_unknown(key, value, config, own)}"


def _wrong_kind(key: str, value: str, error: Exception) -> str:
    """What is wrong with a list in place of settings by name, or with these in place of a list."""
    if key.startswith("hydra.") and kind_of(key) is None and error.__cause__ is not None:
        return str(error.__cause__).splitlines()[0]  # Hydra checks its own
    try:
        (kind_of(key) or mapping()).refuse(key, OverridesParser.create().parse_override(f"{key}={value}").value())
    except ValueError as error:
        return str(error)
    return "it is a list in place of settings by name, or these in place of a list"


def _unreadable(override: str) -> str:
    """Why an override cannot be read, and what can."""
    key, equals, value = override.partition("=")
    if value.startswith("="):
        return f"write {key}={value.lstrip('=')}"
    if not equals or not key:
        group, colon, choice = override.partition(":")
        meant = f"{group}={choice}" if colon and group in groups() else ""
        meant = meant or next((f"{group}={override}" for group in groups() if override in options(group)), "")
        return f"write {meant or 'KEY=VALUE'}, without spaces around the ="
    if missing := re.search(LOOSE_COMMA, value):
        return f"nothing stands {'before' if missing[0].startswith('[') else 'behind'} a comma; write {key}=" + (
            re.sub(LOOSE_COMMA, lambda found: found[0].replace(",", "").strip(), value) or "VALUE"
        )
    if any(value.count(opening) != value.count(closing) for opening, closing in ("()", "[]", "{}")):
        return f"a bracket is open; write a list as {key}=[1,2], and quote a value that holds one: '{key}=\"{value}\"'"
    return f"quote what holds other signs twice: '{key}=\"{value}\"'"


def _one_value(key: str, value: str, config: Mapping[str, Any]) -> str:
    """How several values are given to a setting that takes a list, or one value that holds a comma."""
    if key in groups():
        return ""
    *parents, leaf = key.split(".")
    node: Any = config
    for name in parents:
        node = node.get(name) if isinstance(node, Mapping) else None
    known = node.get(leaf) if isinstance(node, Mapping) else None
    if isinstance(known, list):
        return f", or write a list as {key}=[{value}]"
    return f", or quote one value with a comma twice: '{key}=\"{value}\"'" if known == MISSING or "/" in value else ""


def _instead(word: str, words: Sequence[str]) -> str:
    """`did you mean X? There are X, Y`."""
    same = [other for other in words if other.casefold() == word.casefold()]
    close = nearest(word, words).removeprefix("; ") if not same else f"did you mean {same[0]}?"
    listed = ", ".join(words)
    return f"{close} There are {listed}" if close else f"there are {listed}"


def _unknown(key: str, value: str, config: Mapping[str, Any], own: Sequence[Path]) -> str:
    """`key K of ...; did you mean ...?`, or what there is instead."""
    *parents, leaf = key.split(".")
    node: Any = config
    there: list[str] = []  # as much of the key as there is
    for name in parents:
        if not isinstance(node, Mapping) or not isinstance(node.get(name), Mapping):
            break
        node = node[name]
        there.append(name)
    written = written_here(leaf)
    in_place = written is not None and written.startswith(f"{parents[0]}.") if parents else True
    if there and (len(there) == len(parents) or not in_place):
        names = [str(name) for name in node if not str(name).startswith("_")]
        missing = [*parents, leaf][len(there)]
        return f"key {missing} in {'.'.join(there)}; {_instead(missing, names)}"
    known = [*leaf_keys(config), *groups()]
    if written:
        return f"key {key}; write {written.replace('VALUE', value or 'VALUE')}{_where(written, known, own)}"
    close = nearest(key, known)
    return f"key {key}{close or '; `softvq train --help` shows the groups, `--cfg job` all keys'}"


def _where(written: str, known: Sequence[str], own: Sequence[Path]) -> str:
    """Which bottlenecks have the setting that a person is told to write, where the chosen one has not."""
    key = written.partition("=")[0]
    if not key.startswith("bottleneck.") or key in known or " " in written:
        return ""
    line = re.compile(rf"^{re.escape(key.removeprefix('bottleneck.'))}\s*:", re.MULTILINE)
    files = [file for folder in (CONF_DIR, *own) for file in sorted((folder / "bottleneck").glob("*.yaml"))]
    having = [file.stem for file in files if line.search(file.read_text(encoding="utf-8"))]
    return f", with bottleneck={' or '.join(having)}"
