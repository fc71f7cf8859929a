"""Settings that nothing reads: most often misspelt ones, which a leading + lets through."""

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from softvq.bounded_files import printable
from softvq.config.compose import nearest, settings_of
from softvq.config.schema import NEEDED, fits

REFERENCE = re.compile(r"\$\{(\.*)([\w.]+)\}")
# What is read by its name in code. Anything else is an argument of a class, or another setting refers to it.
READ = {*NEEDED, "figures", "logger", "logger.trackers", "trainer.callbacks", "data.verify"}
# Where a class or function stands that is built; * is one part of a key.
BUILT = ("bottleneck", "network.*", "reconstruction", "optimizer", "data.module", "data.source", "probes.*")
READ_BY_EVALUATE = {"run", "trust", "out", "data.dir", "network"}


def unused(config: DictConfig, evaluating: bool) -> list[str]:
    """A message for each setting that has no effect.

    Args:
        config: what was composed, without its part under `hydra`.
        evaluating: whether it is that of `evaluate`.
    """
    written = settings_of(config)
    read = READ | (READ_BY_EVALUATE if evaluating else set())
    referred = {name for key, value in written.items() for name in _references(key, value)}
    return [
        f"{printable(key)} has no effect here{nearest(key, [*read])}; drop it"
        for key in written
        if key not in read and not _is_argument(key, written) and not any(_within(key, name) for name in referred)
    ]


def _references(key: str, value: Any) -> list[str]:
    """The settings that a value refers to as `${data.name}`, or by dots from where it stands."""
    parents = key.split(".")[:-1]
    found = []
    for dots, name in REFERENCE.findall(str(value)):
        around = parents[: len(parents) - len(dots) + 1] if dots else []
        found.append(".".join([*around, name]))
    return found


def _is_argument(key: str, written: Mapping[str, Any]) -> bool:
    """Whether a setting is an argument of a class or function; that one refuses arguments that it does not know."""
    parts = key.split(".")
    above = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
    if above[:2] in (["trainer", "trainer.callbacks"], ["logger", "logger.trackers"]):
        return True
    return any(f"{name}._target_" in written and fits(name, pattern) for name in above for pattern in BUILT)


def _within(key: str, name: str) -> bool:
    return f"{key}.".startswith(f"{name}.") or f"{name}.".startswith(f"{key}.")
