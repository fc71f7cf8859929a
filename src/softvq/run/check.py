"""Builds all parts of a cell without memory for them, so that what does not fit shows before anything is written."""

import inspect
from contextlib import suppress
from typing import Any

import torch
from hydra.utils import get_object, instantiate
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from omegaconf import DictConfig, OmegaConf

from softvq.config.targets import OPTIMIZERS, missing_target, targets
from softvq.extras import MissingExtraError
from softvq.machine import memory
from softvq.run.build import ConfigError, build_data, build_model, build_optimizer, build_probes, trackers_of
from softvq.run.cell import Cell, check_image_shape
from softvq.tracking.tracker import Tracker
from softvq.training.autoencoder import Autoencoder
from softvq.training.devices import check_accelerator

COPIES = 4  # of each weight in training: itself, its gradient, and Adam's two averages
WEIGHT_BYTES = 4


def check_cell(cell: Cell, on_this_machine: bool = True) -> int:
    """The number of parameters of a cell's model.

    Args:
        cell: to check.
        on_this_machine: whether it is going to run here, so that the machine must have what it asks for.

    Raises:
        ValueError: listing what does not fit.
    """
    config = cell.config
    resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    missing = [fault for key, target in targets(resolved) if (fault := missing_target(key, target))]
    if missing:
        raise ConfigError(missing)
    if on_this_machine:
        check_accelerator(config.trainer.accelerator, config.trainer.devices)
    shape = cell.source().image_shape()
    check_image_shape(config, config.data.name, shape)
    faults: list[str] = []
    model = None
    try:
        with torch.device("meta"):
            # How many classes there are is known once the data are prepared; training refuses data without any.
            model = build_model(config, shape, pixel_variance=1.0, classes=2)
    except Exception as error:  # the classes that a configuration names may raise anything
        faults.append(_told(error))
    if model is not None:
        faults += [*(_too_large(model) if on_this_machine else []), *_no_tap(model, config, shape)]
    for part in (
        lambda: build_data(config).check(shape),
        lambda: build_probes(config, "", cell.folder.figures, cell.folder.latents, 1),
    ):
        try:
            part()
        except Exception as error:
            faults.append(_told(error))
    faults += [*_optimizer(config), *_callbacks(config), *_logger(config, on_this_machine)]
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    assert model is not None
    return _parameters(model)


def _told(error: BaseException) -> str:
    """The message of an error; where Hydra wraps another error, the message of that one alone."""
    cause = error.__cause__ if error.__cause__ is not None else error
    lines = str(cause).splitlines() or [""]
    return str(cause) if isinstance(cause, ValueError) else f"{type(cause).__name__}: {lines[0]}"


def _parameters(model: Autoencoder) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _too_large(model: Autoencoder) -> list[str]:
    count = _parameters(model)
    needed, there = COPIES * WEIGHT_BYTES * count, memory()
    if needed <= there:
        return []
    return [
        f"the model has {count:,} parameters, whose training takes {needed / 1e9:,.0f} GB, and this machine has "
        f"{there / 1e9:,.0f} GB: lower network.d, bottleneck.K or the network's widths"
    ]


def _no_tap(model: Autoencoder, config: DictConfig, shape: tuple[int, int, int]) -> list[str]:
    tap = config.probes.tap
    taps: Any = None
    with suppress(Exception), torch.inference_mode():  # on the device `meta` some operations do not exist
        taps = model.eval().latent(torch.zeros((1, *shape), dtype=torch.uint8, device="meta")).taps
    if taps is None or tap in taps:
        return []
    return [f"probes.tap is {tap!r}, which this bottleneck does not have; it has {', '.join(taps)}"]


def _optimizer(config: DictConfig) -> list[str]:
    target = config.optimizer["_target_"]
    if target.startswith("torch.optim.") and target not in OPTIMIZERS:
        return [f"optimizer._target_={target} does not fit this training; choose one of {', '.join(OPTIMIZERS)}"]
    if config.optimizer["_partial_"] is not True:
        return ["optimizer._partial_ must be true: the parameters come later"]
    parameter = torch.nn.Parameter(torch.zeros(1))
    try:
        optimizer = build_optimizer(config)([parameter])
        if not config.optimizer.get("capturable"):  # which only a GPU can be asked to do
            parameter.grad = torch.ones(1)
            optimizer.step()
    except Exception as error:  # an optimiser's constructor raises whatever it likes
        return [f"optimizer: {_told(error).splitlines()[0]}"]
    return []


def _callbacks(config: DictConfig) -> list[str]:
    faults = []
    for name, settings in config.trainer.callbacks.items():
        key = f"trainer.callbacks.{name}"
        if "_target_" not in settings:
            faults.append(f"{key} must name its class; write +{key}._target_=CLASS")
            continue
        try:
            callback = instantiate(settings)
        except Exception as error:
            faults.append(f"{key}: {_told(error).splitlines()[0]}")
            continue
        if isinstance(callback, Checkpoint):
            faults.append(f"{key} writes checkpoints; drop it: a run writes its own, see trainer.checkpoint_every_s")
        elif isinstance(callback, ProgressBar):
            faults.append(f"{key} draws a bar; drop it: a run draws its own, see trainer.progress")
        elif not hasattr(callback, "on_train_batch_end"):
            faults.append(f"{key} must be a Lightning callback, {settings['_target_']} is none")
    return faults


def _logger(config: DictConfig, on_this_machine: bool) -> list[str]:
    faults = []
    for name, tracker in trackers_of(config).items():
        if "_target_" not in tracker:
            faults.append(f"logger.trackers.{name} must name its class; write +logger.trackers.{name}._target_=CLASS")
            continue
        settings: dict[str, Any] = {str(key): value for key, value in tracker.items() if not str(key).startswith("_")}
        try:
            of_tracker = get_object(tracker["_target_"])
            inspect.signature(of_tracker).bind(folder=None, **settings)
            if on_this_machine and isinstance(of_tracker, type) and issubclass(of_tracker, Tracker):
                of_tracker.check_installed()
        except TypeError as error:
            faults.append(f"logger.trackers.{name}: {error}")
        except MissingExtraError as error:
            faults.append(str(error))
    return faults
