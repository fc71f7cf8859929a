"""The classes that a configuration names by `_target_`: which of them a recorded one may name, and whether they exist.

Building a configuration imports and calls whatever its `_target_`s name, some of which (`torch.load`, for one) run what
a file says. So the configuration of a run folder, which anybody may have written, may name only what softvq's own
configurations name, the classes of this package, PyTorch's optimisers, initialisers, Lightning's callbacks, and what
the user names elsewhere: in one's own `conf/`, or on the command line.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from softvq.bounded_files import printable
from softvq.config.compose import CONF_DIR, PACKAGE, nearest

TARGET_LINE = re.compile(r"_target_\s*:\s*['\"]?([\w.]+)")
OWN_CLASS = re.compile(r"softvq\.((?:bottlenecks|networks|losses|data|probes|tracking)(?:\.\w+)?)\.([A-Z]\w*)")
# Optimisers that update a parameter from its gradient alone. Others need a closure, or take only certain shapes.
OPTIMIZERS = tuple(
    f"torch.optim.{name}"
    for name in (
        *("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax"),
        *("ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"),
    )
)
INITIALISERS = tuple(
    f"torch.nn.init.{name}_"
    for name in (
        *("uniform", "normal", "trunc_normal", "constant", "zeros", "ones", "orthogonal", "sparse", "dirac"),
        *("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"),
    )
)
CALLBACKS = tuple(
    f"{package}.callbacks.{name}"
    for package in ("lightning.pytorch", "pytorch_lightning")
    for name in (
        *("DeviceStatsMonitor", "EarlyStopping", "GradientAccumulationScheduler"),
        *("LearningRateMonitor", "StochasticWeightAveraging", "ThroughputMonitor", "Timer", "WeightAveraging"),
    )
)


class UntrustedTargetError(ValueError):
    """A recorded configuration names something that nobody vouches for."""


def check_recorded(config: Mapping[str, Any], where: str, trusted: Collection[str] = ()) -> None:
    """Refuses a recorded configuration that would run anything but softvq's own parts, before anything is imported.

    Args:
        config: plain values, as they lie in a file.
        where: that file, as a message names it.
        trusted: further targets, which the user named elsewhere.

    Raises:
        UntrustedTargetError: naming key and value of the first such part, and the way out.
    """
    for key, value in _values(config):
        if isinstance(value, str) and "${" in value:
            raise UntrustedTargetError(
                f"{where}: {key} is {printable(value)!r}; a run writes values, never references to others"
            )
    check_targets(config, where, trusted)


def check_targets(config: Any, where: str, trusted: Collection[str] = ()) -> None:
    """Refuses each `_target_`, at any depth and below lists, that is neither softvq's own nor trusted.

    Args:
        config: plain nested values.
        where: the file that they come from, as a message names it.
        trusted: further targets, which the user named elsewhere.

    Raises:
        UntrustedTargetError: naming key and value of the first, and the way out.
    """
    for key, target in targets(config):
        if not isinstance(target, str):
            raise UntrustedTargetError(f"{where}: {key} is {printable(repr(target))[:80]}, which names no class")
        if target not in trusted and not is_known(target):
            raise UntrustedTargetError(
                f"{where}: {key} is {printable(target)}, which is no part of softvq and is not called; "
                f"if you trust it, add trust=[{printable(target)}], or name it in conf/ of the current folder"
            )


def targets(config: Any) -> Iterator[tuple[str, Any]]:
    """Every `_target_` of nested values with its dotted key."""
    return ((key, value) for key, value in _values(config) if key.rpartition(".")[2] == "_target_")


def _values(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its dotted key, also those of lists; a `_target_` whatever it is."""
    if key.rpartition(".")[2] == "_target_":
        yield key, node
    elif isinstance(node, Mapping):
        for name, value in node.items():
            yield from _values(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for n, value in enumerate(node):
            yield from _values(value, f"{key}.{n}")
    else:
        yield key, node


def is_known(target: str) -> bool:
    """Whether a target is named by softvq's configurations, a class of its rooms, or PyTorch's or Lightning's own."""
    return target in _shipped() or target in {*OPTIMIZERS, *INITIALISERS, *CALLBACKS} or _is_own_class(target)


@cache
def _shipped() -> frozenset[str]:
    return frozenset(named_in([CONF_DIR]))


def named_in(folders: Sequence[Path]) -> set[str]:
    """The targets that the configurations in some folders name."""
    files = [file for folder in folders for file in sorted(folder.rglob("*.yaml"))]
    return {target for file in files for target in TARGET_LINE.findall(file.read_text("utf-8", errors="replace"))}


def _is_own_class(target: str) -> bool:
    """Whether a class is defined in a module of this package; another name that the module knows will not do."""
    match = OWN_CLASS.fullmatch(target)
    if match is None:
        return False
    file = PACKAGE / f"{match[1].replace('.', '/')}.py"
    return file.is_file() and re.search(rf"^class {match[2]}\b", file.read_text("utf-8"), re.MULTILINE) is not None


def missing_target(key: str, target: str) -> str | None:
    """What is wrong with a target that cannot be found, if anything. Imports its module.

    Args:
        key: that names it.
        target: dotted path of a class or function.
    """
    from hydra._internal.target_policy import _is_blocklisted_target

    module_name, _, name = target.rpartition(".")
    if _is_blocklisted_target(target):
        return f"{key}={target}: it may run whatever it is given, and is not called; name another class"
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        return f"{key}={target}: there is no module {error.name}; it must be installed, or lie in the current folder"
    except Exception as error:  # importing a module of one's own may raise anything
        return f"{key}={target}: importing {module_name} fails: {type(error).__name__}: {error}"
    if not hasattr(module, name):
        return f"{key}={target}: {module_name} has no {name}{nearest(name, dir(module))}"
    if not callable(getattr(module, name)):
        return f"{key}={target}: {name} is no class or function"
    return None
