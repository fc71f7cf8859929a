"""Checks the settings of a whole configuration before anything is built, without torch."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from softvq.bounded_files import printable
from softvq.config.compose import groups, options, settings_of
from softvq.config.errors import missing_values
from softvq.config.kinds import anything
from softvq.config.schema import NEEDED, NEEDED_TO_EVALUATE, kind_of
from softvq.config.unused import unused

UNKNOWN = anything().null("what its class says")  # of a class whose arguments the schema does not list
FIGURE_FORMATS = ("pdf", "svg")  # beside PNG
# Optimisers that update every number by itself: they update stacked weights as they would update each alone.
ELEMENTWISE = {f"torch.optim.{name}" for name in ("Adam", "AdamW", "Adamax", "RAdam", "RMSprop", "Adagrad", "SGD")}
ELEMENTWISE |= {"softvq.training.tensorflow_adam.TensorFlowAdam"}


def check_settings(config: DictConfig, evaluating: bool = False) -> None:
    """Refuses values that are missing, wrong or without effect, and a configuration that lacks what a run needs.

    Args:
        config: what was composed, without its part under `hydra`.
        evaluating: whether it is that of `evaluate`, where null in place of the data's settings means the run's own.

    Raises:
        ValueError: listing every such value with its key and what it may be.
    """
    if missing := missing_values(config):
        raise ValueError("\n  ".join(missing))
    faults = _lacking(config, NEEDED_TO_EVALUATE if evaluating else NEEDED)
    written = settings_of(config)
    for key, value in written.items():
        if not _follows(value) and not (evaluating and key.startswith("data.") and value is None):
            faults += _fault(config, key)
    if not faults:  # else what follows a wrong value would be named as well
        for key in (key for key, value in written.items() if _follows(value) and value != "???"):
            faults += _fault(config, key, follows=True)
    try:
        figure_formats(config.get("figures"))
    except ValueError as error:
        faults.append(str(error))
    faults += unused(config, evaluating)
    if not faults and not evaluating and config.probes.part == "validation" and not config.data.val_fraction:
        faults.append("probes.part=validation needs images set aside; set data.val_fraction, as data.val_fraction=0.1")
    if faults:
        raise ValueError("\n  ".join(faults))


def _fault(config: DictConfig, key: str, follows: bool = False) -> list[str]:
    """What is wrong with a value, if anything; nothing with one that follows another one which is filled in later."""
    try:
        value = OmegaConf.select(config, key)
    except OmegaConfBaseException:
        return []
    if value is None and follows:
        return []
    try:
        (kind_of(key) or UNKNOWN).refuse(printable(key), value)
    except ValueError as error:
        return [str(error)]
    return []


def figure_formats(figures: Any) -> list[str]:
    """The formats beside PNG that `figures` asks for.

    Raises:
        ValueError: for anything but pdf, svg or a list of them.
    """
    asked = [] if figures is None else list(figures) if isinstance(figures, ListConfig | list) else [figures]
    for name in asked:
        if name not in (*FIGURE_FORMATS, "png"):
            raise ValueError(
                f"figures must be pdf, svg or a list of them like [pdf,svg], got {name!r}; PNGs are always written"
            )
    return [name for name in FIGURE_FORMATS if name in asked]


def _follows(as_written: Any) -> bool:
    """Whether a value refers to another setting (`${...}`), or is filled in later (`???`)."""
    return isinstance(as_written, str) and (as_written.startswith("${") or as_written == "???")


def _lacking(config: DictConfig, needed: Sequence[str]) -> list[str]:
    """What is needed and not there, a message each; a group that lacks everything is named once."""
    found: list[str] = []
    chosen_later = not any(_there(config, f"network.{part}") for part in ("encoder", "decoder"))  # network=auto
    for key in needed:
        if chosen_later and key.startswith("network."):
            continue
        group = key.partition(".")[0]
        if _there(config, key) or any(fault.startswith(f"{group} ") for fault in found):
            continue
        if not isinstance(config.get(group), DictConfig) and group in groups():
            found.append(f"{group} has no choice; leave it out, or choose one of {', '.join(options(group))}")
        else:
            found.append(f"{key} is missing; drop what takes it away, as ~{key}")
    return found


def _there(config: DictConfig, key: str) -> bool:
    """Whether a key is there, whatever its value."""
    parent, _, last = key.rpartition(".")
    try:
        node = OmegaConf.select(config, parent) if parent else config
    except OmegaConfBaseException:
        return False
    return isinstance(node, DictConfig) and last in list(node)


def check_seeds_at_once(config: DictConfig, in_sweep: bool) -> None:
    """Refuses settings under which several seeds cannot be trained at once.

    Raises:
        ValueError: listing those that stand against it.
    """
    trainer, S = config.trainer, config.trainer.seeds_per_process
    one = trainer.devices == 1 or (isinstance(trainer.devices, ListConfig) and len(trainer.devices) == 1)
    faults = []
    if not in_sweep:
        faults.append("add -m and several seeds, e.g. seed=0,1,2,3")
    if not one:
        faults.append(f"set trainer.devices=1 in place of {trainer.devices}: seeds are trained at once on one device")
    if str(trainer.precision) in ("16-mixed", "16"):
        faults.append(
            f"set trainer.precision=bf16-mixed or 32-true: {trainer.precision} scales all seeds' losses alike"
        )
    if config.optimizer["_target_"] not in ELEMENTWISE:
        known = ", ".join(sorted(ELEMENTWISE))
        faults.append(f"set optimizer._target_ to one of {known}: {config.optimizer['_target_']} may look across seeds")
    if trainer.callbacks:
        faults.append(f"drop trainer.callbacks={list(trainer.callbacks)}, which expect a single model")
    if faults:
        raise ValueError(
            "\n  ".join([f"trainer.seeds_per_process={S} is not possible here; set it to 1, or:", *faults])
        )
