"""Builds the parts of a cell from its configuration, trains and probes it."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from softvq.console import screen
from softvq.data.module import ImageData
from softvq.probes.run import Probes, ProbesAtEnd
from softvq.run.process import RANK
from softvq.run.train import Trained, build_trainer, describe, fit, set_up
from softvq.run_folder import RunFolder, write_json
from softvq.tracking.curve import CurveLogger
from softvq.tracking.tracker import Tolerant, Tracker
from softvq.training.autoencoder import Autoencoder
from softvq.training.checkpoint import ResumeCheckpoint, WholeFile
from softvq.training.progress import ProbeProgress, wanted

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


def build_model(config: DictConfig, image_shape: tuple[int, int, int], pixel_variance: float) -> Autoencoder:
    """The autoencoder of a configuration, initialised from its seed.

    Raises:
        ConfigError: listing every setting that does not fit.
    """
    torch.manual_seed(config.seed)
    faults = _Faults()
    bottleneck = faults.build(lambda: instantiate(config.bottleneck))
    heads = bottleneck.heads if bottleneck is not None else {"z_e": 1}
    encoder = faults.build(lambda: instantiate(config.network.encoder, image_shape=image_shape, heads=heads))
    decoder = faults.build(lambda: instantiate(config.network.decoder, image_shape=image_shape))
    reconstruction = faults.build(lambda: instantiate(config.reconstruction, variance=pixel_variance))
    faults.check()
    if config.bottleneck.d != config.network.d:
        raise ConfigError([f"bottleneck.d is {config.bottleneck.d} but network.d is {config.network.d}; set network.d"])
    assert encoder is not None
    assert bottleneck is not None
    assert decoder is not None
    assert reconstruction is not None
    return Autoencoder(
        encoder=encoder,
        bottleneck=bottleneck,
        decoder=decoder,
        reconstruction=reconstruction,
        penalty_weight=config.penalty_weight,
        optimizer=instantiate(config.optimizer),
        pixel_offset=config.data.pixel_offset,
        seed=config.seed,
        log_every_n_steps=config.trainer.log_every_n_steps,
    )


def build_data(config: DictConfig) -> ImageData:
    """The data module of a configuration."""
    return instantiate(
        config.data.module,
        seed=config.seed,
        log_every_n_steps=config.trainer.log_every_n_steps,
        val_every_n_steps=config.trainer.val_every_n_steps,
    )


def build_probes(config: DictConfig, folder: RunFolder, jobs: int) -> Probes:
    """The probes of a configuration."""
    protocol = config.probes
    return Probes(
        clustering=instantiate(protocol.clustering),
        classification=instantiate(protocol.classification),
        tap=protocol.tap,
        part=protocol.part,
        train_limit=protocol.train_limit,
        test_limit=protocol.test_limit,
        tsne_points=protocol.tsne_points,
        seed=protocol.seed,
        jobs=jobs,
        figures_dir=folder.figures,
        latents_path=folder.latents if protocol.save_latents else None,
        progress=ProbeProgress(wanted(config.trainer.progress)),
    )


def build_trackers(config: DictConfig, folder: RunFolder) -> list[Tracker]:
    """The training curve's and what `logger` names; none in the further processes of several devices."""
    if RANK:
        return []
    tracker: Tracker | None = instantiate(config.logger, folder=folder) if config.logger else None
    return [CurveLogger(folder.curve), *([Tolerant(tracker, screen.print_warning)] if tracker else [])]


def build_checkpoint(config: DictConfig, folder: RunFolder) -> ResumeCheckpoint:
    """The checkpoint callback of a configuration."""
    return ResumeCheckpoint(
        folder.checkpoint,
        config.trainer.checkpoint_after_s,
        config.trainer.checkpoint_every_s,
        config.trainer.checkpoint_time_fraction,
    )


def run(config: DictConfig, folder: RunFolder, choices: dict[str, Any]) -> dict[str, Any]:
    """Trains the cell from where it stopped, probes it, and writes and returns the content of its `metrics.json`."""
    process = set_up(config)
    data = checked(lambda: build_data(config))
    data.setup()
    model = build_model(config, data.arrays.info.image_shape, data.arrays.info.pixel_variance)
    probes = ProbesAtEnd(build_probes(config, folder, process.threads))
    label = f"{choices['bottleneck']} on {config.data.name}, seed {config.seed}"
    trackers = build_trackers(config, folder)
    checkpoint = build_checkpoint(config, folder)
    trainer = build_trainer(config, folder, label, trackers, [checkpoint, probes], WholeFile())
    fit(trainer, model, data, config, checkpoint)
    metrics = describe(config, choices, data, probes.results, Trained(process, trainer, checkpoint, together=1))
    for tracker in trackers:
        tracker.finish(metrics, folder)
    if not RANK:
        write_json(folder.metrics, metrics)  # last: a run that is killed before it is not finished for its trackers
    return metrics
