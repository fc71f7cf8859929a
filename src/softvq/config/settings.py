"""Settings that no part of a cell checks for itself: checked before anything is built, without torch."""

from collections.abc import Callable
from functools import partial
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from softvq.checks import at_least

WHOLE = {
    "seed": 0,
    "data.batch_size": 1,
    "data.eval_batch_size": 1,
    "trainer.max_steps": 0,
    "trainer.seeds_per_process": 1,
    "trainer.threads": 1,
    "trainer.log_every_n_steps": 1,
    "trainer.val_every_n_steps": 1,
}  # the smallest value that each may have
NUMBERS = {
    "optimizer.lr": 0,
    "data.val_fraction": 0,
    "trainer.checkpoint_after_s": 0,
    "trainer.checkpoint_every_s": 0,
    "trainer.checkpoint_time_fraction": 0,
}
WORDS = {
    "resume": ("auto", "never"),
    "trainer.accelerator": ("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.precision": ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"),
    "trainer.matmul_precision": ("highest", "high", "medium"),
}
FLAGS = ("trained", "data.verify", "optimizer.fused", "probes.save_latents")
SHORT_PRECISIONS = ("32", "64", "16", "bf16")  # which Lightning also takes
# What updates every number by itself, so that stacked weights are updated as they would be alone.
ELEMENTWISE = {f"torch.optim.{name}" for name in ("Adam", "AdamW", "Adamax", "RAdam", "RMSprop", "Adagrad", "SGD")}


def check_settings(config: DictConfig) -> None:
    """Refuses values of the wrong kind. A key that a configuration lacks, or whose value follows later, is no fault.

    Raises:
        ValueError: listing every such value with its key and what it may be.
    """
    faults: list[str] = []

    def check(key: str, rule: Callable[[str, Any], None]) -> None:
        value = OmegaConf.select(config, key)
        if value is not None:
            try:
                rule(key, value)
            except ValueError as error:
                faults.append(str(error))

    for key, minimum in WHOLE.items():
        check(key, partial(at_least, minimum=minimum, whole=True))
    for key, minimum in NUMBERS.items():
        check(key, partial(at_least, minimum=minimum))
    for key, words in WORDS.items():
        check(key, partial(_one_of, words=words))
    for key in FLAGS:
        check(key, _flag)
    check("trainer.cuda_graph", partial(_flag, auto=True))
    check("trainer.devices", _devices)
    if faults:
        raise ValueError("\n  ".join(faults))


def _one_of(key: str, value: Any, words: tuple[str, ...]) -> None:
    short = SHORT_PRECISIONS if key == "trainer.precision" else ()
    if str(value) not in (*words, *short):
        raise ValueError(f"{key} must be one of {', '.join(words)}, got {value!r}")


def _flag(key: str, value: Any, auto: bool = False) -> None:
    if not isinstance(value, bool) and not (auto and value == "auto"):
        raise ValueError(f"{key} must be true{', false or auto' if auto else ' or false'}, got {value!r}")


def _devices(key: str, value: Any) -> None:
    listed = isinstance(value, ListConfig) and len(value) > 0 and all(isinstance(n, int) and n >= 0 for n in value)
    counted = isinstance(value, int) and not isinstance(value, bool) and (value >= 1 or value == -1)
    if not (listed or counted or value == "auto"):
        raise ValueError(f"{key} must be at least 1, a list of devices like [0,1], -1 for all, or auto, got {value!r}")


def check_together(config: DictConfig, in_sweep: bool) -> None:
    """Settings under which several seeds can be trained at once.

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
