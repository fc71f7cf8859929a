"""Builds the parts of a run from its configuration."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch.optim import Optimizer

from softvq.bottlenecks.base import Bottleneck
from softvq.config.settings import figure_formats
from softvq.console import screen
from softvq.data.module import ImageData
from softvq.data.schedule import Schedule
from softvq.probes.drawing import Album
from softvq.probes.progress import ProbeProgress
from softvq.probes.run import Probes
from softvq.run.process import RANK
from softvq.run_folder import RunFolder
from softvq.tracking.curve import CurveLogger
from softvq.tracking.tracker import Tolerant, Tracker, failure_message
from softvq.training.autoencoder import Autoencoder

T = TypeVar("T")


class ConfigError(ValueError):
    """Settings that do not fit together, all that were found."""

    def __init__(self, faults: list[str]) -> None:
        heading = ["several settings are off:"] if len(faults) > 1 else []
        super().__init__("\n  ".join([*heading, *faults]))


class _Faults:
    """Collects what building the parts finds wrong, to be reported together."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def build(self, make: Callable[[], T]) -> T | None:
        try:
            return make()
        except InstantiationException as error:
            cause = error.__cause__
            if not isinstance(cause, ValueError | TypeError):
                raise
            self.found.append(str(cause))
        except ValueError as error:
            self.found.append(str(error))
        return None

    def check(self) -> None:
        if self.found:
            raise ConfigError(list(dict.fromkeys(self.found)))


def checked(make: Callable[[], T]) -> T:
    """What `make` builds.

    Raises:
        ConfigError: if a setting does not fit.
    """
    faults = _Faults()
    made = faults.build(make)
    faults.check()
    assert made is not None
    return made


def build_model(
    config: DictConfig, image_shape: tuple[int, int, int], pixel_variance: float, classes: int = 0
) -> Autoencoder:
    """The autoencoder of a configuration, initialised from its seed.

    Args:
        config: its bottleneck, network and reconstruction are built.
        image_shape: (H, W, C).
        pixel_variance: of the training pixels scaled to [0, 1].
        classes: of the data's labels, for a bottleneck that learns from them; 0 without.

    Raises:
        ConfigError: listing every setting that does not fit.
    """
    torch.manual_seed(config.seed)
    faults = _Faults()

    def encoder_with(heads: dict[str, int]) -> Any:
        return instantiate(config.network.encoder, image_shape=image_shape, heads=heads)

    bottleneck = faults.build(lambda: _checked_bottleneck(instantiate(config.bottleneck)))
    heads = bottleneck.heads if bottleneck is not None else {"z_e": 1}
    if bottleneck is not None and heads["z_e"] != config.network.d:
        faults.found.append(
            f"the bottleneck's z_e has width {heads['z_e']} but network.d is {config.network.d}: "
            "set network.d, or take it over in the bottleneck's YAML as d: ${network.d}"
        )
    encoder = faults.build(lambda: encoder_with(heads))
    decoder = faults.build(lambda: instantiate(config.network.decoder, image_shape=image_shape))
    reconstruction = faults.build(lambda: instantiate(config.reconstruction, variance=pixel_variance))
    faults.check()
    assert encoder is not None
    assert bottleneck is not None
    assert decoder is not None
    assert reconstruction is not None
    mean_scale = reconstruction.mean_scale(math.prod(image_shape))
    faults.build(lambda: bottleneck.attach(image_shape, classes, encoder_with, mean_scale))
    faults.check()
    bottleneck.restrict(encoder)
    return Autoencoder(
        encoder=encoder,
        bottleneck=bottleneck,
        decoder=decoder,
        reconstruction=reconstruction,
        penalty_weight=config.penalty_weight,
        image_shape=image_shape,
        pixel_offset=config.data.pixel_offset,
    )


def _checked_bottleneck(bottleneck: Any) -> Bottleneck:
    """What a `bottleneck._target_` built, if it keeps the interface's promises.

    Raises:
        ValueError: naming what is missing and where to add it.
    """
    if not isinstance(bottleneck, Bottleneck):
        raise ValueError(
            f"bottleneck._target_ builds a {type(bottleneck).__name__}; "
            "derive the class from softvq.bottlenecks.base.Bottleneck"
        )
    heads = bottleneck.heads
    if "z_e" not in heads:
        raise ValueError(
            f"{type(bottleneck).__name__}.heads must name z_e, the code that the probes read, with its width; "
            f"it names {', '.join(heads) or 'nothing'}"
        )
    return bottleneck


def start_from_data(model: Autoencoder, data: ImageData) -> None:
    """Starts a codebook that begins from data, as by K-means, from the codes of the first images of the training."""
    wanted = model.bottleneck.codes_to_start
    if not wanted:
        return
    images = min(math.ceil(wanted / model.encoder.positions), len(data.train_indices))
    first = Schedule(len(data.train_indices), images, data.seed).batch(0).numpy()
    model.eval()
    with torch.no_grad():
        z_e = model.encode(torch.from_numpy(data.arrays.train_images[data.train_indices[first]]))
        model.bottleneck.start(z_e.flatten(0, 1)[:wanted])
    model.train()


def build_optimizer(config: DictConfig) -> Callable[[Iterable[Any]], Optimizer]:
    """What makes the configuration's optimiser from parameters."""
    return instantiate(config.optimizer)


def build_data(config: DictConfig) -> ImageData:
    """The data module of a configuration."""
    return instantiate(
        config.data.module,
        seed=config.seed,
        log_every_n_steps=config.trainer.log_every_n_steps,
        val_every_n_steps=config.trainer.val_every_n_steps,
    )


def build_probes(config: DictConfig, label: str, figures: Path, latents: Path, jobs: int) -> Probes:
    """The probes of a configuration.

    Args:
        config: its protocol, its formats of figures and its progress are used.
        label: model, data and seed, for the figures' titles.
        figures: folder of the pictures.
        latents: file of the codes, written if `probes.save_latents` says so.
        jobs: threads.
    """
    protocol = config.probes
    parts = {name: part for name, part in protocol.items() if isinstance(part, DictConfig) and "_target_" in part}
    return Probes(
        probes={str(name): instantiate(part) for name, part in parts.items()},
        tap=protocol.tap,
        part=protocol.part,
        train_limit=protocol.train_limit,
        test_limit=protocol.test_limit,
        tsne_points=protocol.tsne_points,
        seed=protocol.seed,
        jobs=jobs,
        album=Album(figures, label, figure_formats(config.get("figures"))),
        latents_path=latents if protocol.save_latents else None,
        progress=ProbeProgress(bool(config.trainer.progress), label),
    )


def weights_dtype(config: DictConfig) -> torch.dtype:
    """The type of number in which a run keeps its weights, by `trainer.precision`."""
    kept = {"64-true": torch.float64, "64": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}
    return kept.get(str(config.trainer.precision), torch.float32)


def build_trackers(config: DictConfig, folder: RunFolder) -> list[Tracker]:
    """What follows a run: the training curve in `metrics.csv`, and the trackers that `logger` names.

    With several devices, only the process of the first one has any. A tracker that cannot be opened is left out with a
    warning; the run goes on.
    """
    if RANK:
        return []
    trackers: list[Tracker] = [CurveLogger(folder.curve)]
    for name, settings in trackers_of(config).items():
        try:
            tracker: Tracker | None = instantiate(settings, folder=folder)
        except Exception as error:  # a tracker's library may raise anything
            screen.print_warning(failure_message(name, error))
        else:
            trackers += [Tolerant(tracker, screen.print_warning)] if tracker is not None else []
    return trackers


def trackers_of(config: DictConfig) -> dict[str, DictConfig]:
    """The settings of the trackers that `logger` names, by name."""
    trackers = OmegaConf.select(config, "logger.trackers") or {}
    return {str(name): settings for name, settings in trackers.items()}
