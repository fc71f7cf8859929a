"""One session of training: the process's settings, Lightning's trainer, and what `metrics.json` says of both."""

import inspect
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import lightning as L
import torch
from hydra.utils import get_class, instantiate
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.pytorch.plugins.environments import LightningEnvironment
from omegaconf import DictConfig, OmegaConf

from softvq.config.compose import built_network
from softvq.config.identity import config_hash, result_settings
from softvq.data.module import ImageData
from softvq.machine import cores
from softvq.run.process import RANK
from softvq.run.provenance import commit
from softvq.run_folder import RunFolder
from softvq.tracking.tracker import Tracker
from softvq.training.checkpoint import ResumeCheckpoint, read_checkpoint
from softvq.training.cuda_graph import capture_cuda_graph
from softvq.training.devices import check_accelerator
from softvq.training.malloc import keep_freed_memory
from softvq.training.module import ChunkTraining, watches_gradients
from softvq.training.progress import training_progress


@dataclass(frozen=True)
class Process:
    """What a process trains with.

    Attributes:
        commit: of the code that is loaded, whatever is checked out by the end.
        threads: of torch and the probes.
    """

    commit: str | None
    threads: int


def set_up(config: DictConfig) -> Process:
    """Makes the process-wide settings of a configuration."""
    _quiet_libraries()
    process = Process(commit(), config.trainer.threads or cores())
    torch.set_num_threads(process.threads)
    keep_freed_memory()
    torch.set_float32_matmul_precision(config.trainer.matmul_precision)
    check_accelerator(config.trainer.accelerator, config.trainer.devices)
    return process


def build_trainer(
    config: DictConfig,
    folder: RunFolder,
    label: str,
    trackers: Sequence[Tracker],
    callbacks: Sequence[L.Callback],
    files: CheckpointIO,
) -> L.Trainer:
    """Lightning's trainer for a configuration.

    Args:
        config: its trainer's settings and further callbacks are used.
        folder: of the run.
        label: says in the progress whose training it is.
        trackers: take the training curve.
        callbacks: what the run itself needs; they come after the configuration's own.
        files: how checkpoints are written and read.
    """
    own: list[L.Callback] = [instantiate(callback) for callback in config.trainer.callbacks.values()]
    progress = [] if RANK else training_progress(config.trainer.progress, label)
    return L.Trainer(
        max_steps=config.trainer.max_steps,
        max_epochs=-1,
        accelerator=config.trainer.accelerator,
        devices=config.trainer.devices,
        precision=config.trainer.precision,
        logger=list(trackers),
        callbacks=[*own, *progress, *callbacks],
        limit_val_batches=None if config.data.val_fraction else 0,
        num_sanity_val_steps=0,
        plugins=[LightningEnvironment(), files],  # a cell runs alone, also inside a Slurm job
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder.path,
    )


def fit(
    trainer: L.Trainer,
    model: ChunkTraining,
    data: L.LightningDataModule,
    config: DictConfig,
    checkpoint: ResumeCheckpoint,
) -> None:
    """Trains from the last checkpoint, if there is one."""
    if replays_steps(config, trainer):
        model.capture = capture_cuda_graph
    resumed = checkpoint.path if checkpoint.path.exists() else None
    if resumed:
        read_checkpoint(resumed)  # Lightning's own words for a damaged one name no file
    trainer.fit(model, data, ckpt_path=resumed, weights_only=False)


@dataclass(frozen=True)
class Trained:
    """How a run was trained, for its `metrics.json`.

    Attributes:
        together: how many seeds were trained at once.
    """

    process: Process
    trainer: L.Trainer
    checkpoint: ResumeCheckpoint
    together: int


def describe(
    config: DictConfig, choices: dict[str, Any], data: ImageData, probed: dict[str, Any], trained: Trained
) -> dict[str, Any]:
    """The content of a run's `metrics.json`."""
    info = data.arrays.info
    resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    results = dict(probed)
    probe_s = results.pop("probe_s", None)
    return {
        "status": "finished",
        "bottleneck": choices["bottleneck"],
        "data": info.name,
        "seed": config.seed,
        "fidelity": config.fidelity,
        "steps": trained.trainer.global_step,
        "config_hash": config_hash(result_settings(resolved, info.sha256)),
        **results,
        "protocol": resolved["probes"],
        "provenance": {
            "commit": trained.process.commit,
            "versions": {name: version(name) for name in ("softvq", "torch", "lightning", "scikit-learn", "numpy")},
            "data": {"name": info.name, "source": info.source, "sha256": info.sha256, "verified": info.verified},
            "network": built_network(config, choices["network"]),
            "device": device_name(trained.trainer),
            "devices": trained.trainer.world_size,
            "threads": trained.process.threads,
            "seeds_at_once": trained.together,
        },
        "time": {
            "fit_s": trained.checkpoint.trained_s,
            "steps_per_s": trained.checkpoint.steps_per_s,
            "probe_s": probe_s,
        },
    }


def replays_steps(config: DictConfig, trainer: L.Trainer) -> bool:
    """Whether training replays a captured CUDA graph: on one GPU, unless `trainer.cuda_graph=false`.

    Raises:
        ValueError: if it is asked for where it cannot be.
    """
    asked = config.trainer.cuda_graph
    scaled = str(config.trainer.precision).startswith("16-mixed")  # its loss scaling looks at each step from Python
    single = trainer.strategy.root_device.type == "cuda" and trainer.world_size == 1
    possible = single and not scaled and not watches_gradients(trainer) and _can_be_captured(config.optimizer)
    if asked is True and not possible:
        raise ValueError(
            "trainer.cuda_graph=true needs one GPU, a precision other than 16-mixed, no callback that watches "
            "gradients and an optimiser that can be captured (as Adam or SGD), got "
            f"{trainer.world_size} x {trainer.strategy.root_device.type}, {config.trainer.precision}, "
            f"trainer.callbacks {list(config.trainer.callbacks)} and {config.optimizer['_target_']}; leave it at auto"
        )
    return bool(asked) and possible


def _can_be_captured(optimizer: DictConfig) -> bool:
    """Whether an optimiser computes all of its update on the device; what Python counts, a replay would repeat."""
    kind = get_class(optimizer["_target_"])
    return kind is torch.optim.SGD or "capturable" in inspect.signature(kind).parameters


def device_name(trainer: L.Trainer) -> str:
    """The accelerator that trained, in its vendor's words; `cpu` without one."""
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _quiet_libraries() -> None:
    """Lightning's remarks on what is deliberate here."""
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
        ".*but step\\(\\) is running without CUDA graph capture.*",
    ):
        warnings.filterwarnings("ignore", message=message)
