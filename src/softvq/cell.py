"""Builds the parts of a cell from its configuration, trains and probes it."""

import subprocess
import warnings
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import lightning as L
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.plugins.environments import LightningEnvironment
from omegaconf import DictConfig, OmegaConf

from softvq.autoencoder import Autoencoder
from softvq.checkpoint import ResumeCheckpoint, read_checkpoint
from softvq.config import built_network, config_hash, cores, result_settings
from softvq.console import screen
from softvq.data.module import ImageData
from softvq.devices import check_accelerator
from softvq.launchers import RANK
from softvq.memory import keep_freed_memory
from softvq.probes.callback import Probes
from softvq.progress import ProbeProgress, training_progress, wanted
from softvq.runs import RunFolder, write_json
from softvq.steps import capture_cuda_graph
from softvq.tracking.curve import CurveLogger
from softvq.tracking.tracker import Tolerant, Tracker

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
    """The probe callback of a configuration."""
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


def run(config: DictConfig, folder: RunFolder, choices: dict[str, Any]) -> dict[str, Any]:
    """Trains the cell from where it stopped, probes it, and writes and returns the content of its `metrics.json`."""
    _quiet_libraries()
    checked_out = commit()  # of the code that is loaded, whatever is checked out by the end
    threads = config.trainer.threads or cores()
    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.set_float32_matmul_precision(config.trainer.matmul_precision)
    check_accelerator(config.trainer.accelerator, config.trainer.devices)
    faults = _Faults()
    data = faults.build(lambda: build_data(config))
    faults.check()
    assert data is not None
    data.setup()
    model = build_model(config, data.arrays.info.image_shape, data.arrays.info.pixel_variance)
    probes = build_probes(config, folder, threads)
    checkpoint = ResumeCheckpoint(
        folder.checkpoint,
        config.trainer.checkpoint_after_s,
        config.trainer.checkpoint_every_s,
        config.trainer.checkpoint_time_fraction,
    )
    callbacks: list[L.Callback] = [instantiate(callback) for callback in config.trainer.callbacks.values()]
    label = f"{choices['bottleneck']} on {config.data.name}, seed {config.seed}"
    if not RANK:
        callbacks += training_progress(config.trainer.progress, label)
    trackers = build_trackers(config, folder)
    trainer = L.Trainer(
        max_steps=config.trainer.max_steps,
        max_epochs=-1,
        accelerator=config.trainer.accelerator,
        devices=config.trainer.devices,
        precision=config.trainer.precision,
        logger=trackers,
        callbacks=[*callbacks, checkpoint, probes],
        limit_val_batches=None if config.data.val_fraction else 0,
        num_sanity_val_steps=0,
        plugins=[LightningEnvironment()],  # a cell runs alone, also inside a Slurm job
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder.path,
    )
    if replays_steps(config, trainer):
        model.capture = capture_cuda_graph
    folder.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    resumed = folder.checkpoint if folder.checkpoint.exists() else None
    if resumed:
        read_checkpoint(resumed)  # Lightning's own words for a damaged one name no file
    trainer.fit(model, data, ckpt_path=resumed, weights_only=False)
    metrics = _metrics(config, choices, data, trainer, checkpoint, probes, threads, checked_out)
    for tracker in trackers:
        tracker.finish(metrics, folder)
    if not RANK:
        write_json(folder.metrics, metrics)  # last: a run that is killed before it is not finished for its trackers
    return metrics


def _metrics(
    config: DictConfig,
    choices: dict[str, Any],
    data: ImageData,
    trainer: L.Trainer,
    checkpoint: ResumeCheckpoint,
    probes: Probes,
    threads: int,
    checked_out: str | None,
) -> dict[str, Any]:
    info = data.arrays.info
    resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    results = dict(probes.results)
    probe_s = results.pop("probe_s", None)
    return {
        "status": "finished",
        "bottleneck": choices["bottleneck"],
        "data": info.name,
        "seed": config.seed,
        "fidelity": config.fidelity,
        "steps": trainer.global_step,
        "config_hash": config_hash(result_settings(resolved, info.sha256)),
        **results,
        "protocol": resolved["probes"],
        "provenance": {
            "commit": checked_out,
            "versions": {name: version(name) for name in ("softvq", "torch", "lightning", "scikit-learn", "numpy")},
            "data": {"name": info.name, "source": info.source, "sha256": info.sha256, "verified": info.verified},
            "network": built_network(config, choices["network"]),
            "device": device_name(trainer),
            "devices": trainer.world_size,
            "threads": threads,
        },
        "time": {"fit_s": checkpoint.trained_s, "steps_per_s": checkpoint.steps_per_s, "probe_s": probe_s},
    }


def replays_steps(config: DictConfig, trainer: L.Trainer) -> bool:
    """Whether training replays a captured CUDA graph: on one GPU, unless `trainer.cuda_graph=false`.

    Raises:
        ValueError: if it is asked for where it cannot be.
    """
    asked = config.trainer.cuda_graph
    if asked not in (True, False, "auto"):
        raise ValueError(f"trainer.cuda_graph must be true, false or auto, got {asked!r}")
    scaled = str(config.trainer.precision).startswith("16-mixed")  # its loss scaling looks at each step from Python
    possible = trainer.strategy.root_device.type == "cuda" and trainer.world_size == 1 and not scaled
    if asked is True and not possible:
        raise ValueError(
            f"trainer.cuda_graph=true needs one GPU and a precision other than 16-mixed, got "
            f"{trainer.world_size} x {trainer.strategy.root_device.type} and {config.trainer.precision}; "
            "leave it at auto"
        )
    return bool(asked) and possible


def device_name(trainer: L.Trainer) -> str:
    """The accelerator that trained, in its vendor's words; `cpu` without one."""
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def commit() -> str | None:
    """The checkout's commit, with `-dirty` behind it where tracked files differ; None outside a checkout."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=timedelta(seconds=10).total_seconds(),
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _quiet_libraries() -> None:
    """Lightning's remarks on what is deliberate here."""
    import logging

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*You defined a `validation_step` but have no `val_dataloader`.*",
        ".*`LightningModule.configure_optimizers` returned `None`.*",
        ".*does not have many workers.*",
        ".*GPU available but not used.*",
        ".*exists and is not empty.*",
        ".*`srun` command is available on your system but is not used.*",
        ".*isinstance.treespec, LeafSpec.*",
    ):
        warnings.filterwarnings("ignore", message=message)
