"""Lightning's trainer as a run needs it, and the process in which it trains."""

import inspect
import logging
import os
import warnings
from collections.abc import Sequence
from functools import partial

import lightning as L
import torch
from hydra.utils import get_class
from omegaconf import DictConfig

from softvq.console import screen
from softvq.data.dataset import DatasetInfo
from softvq.run.cell import Cell
from softvq.run.device import start_processes
from softvq.run.process import PORT, RANK
from softvq.run.summary import chosen_words
from softvq.tracking.tracker import Tracker
from softvq.training.autoencoder import Autoencoder
from softvq.training.checkpoint import RunCheckpoints
from softvq.training.devices import DeviceProcesses, check_accelerator, set_matmul_precision
from softvq.training.malloc import keep_freed_memory
from softvq.training.module import watches_gradients
from softvq.training.progress import About, training_progress


def set_up_process(config: DictConfig, threads: int) -> None:
    """Sets torch and Lightning up in this process, as a configuration says.

    Raises:
        ValueError: for an accelerator that this machine lacks.
    """
    _quiet_libraries()
    _forget_lightnings_settings()
    torch.set_num_threads(threads)
    keep_freed_memory()
    set_matmul_precision(config.trainer.matmul_precision)
    check_accelerator(config.trainer.accelerator, config.trainer.devices)


def build_trainer(
    cells: Sequence[Cell],
    info: DatasetInfo,
    trackers: Sequence[Tracker],
    own: Sequence[L.Callback],
    callbacks: Sequence[L.Callback],
    files: RunCheckpoints,
) -> L.Trainer:
    """The trainer of cells that are trained at once.

    Args:
        cells: they differ in their seeds alone.
        info: of their images.
        trackers: those of all cells.
        own: the callbacks that the configuration names.
        callbacks: those of the run, which come after them.
        files: where checkpoints go.
    """
    config, folder = cells[0].config, cells[0].folder
    about = About(info, folder.path, torch.get_num_threads())
    progress = [] if RANK else training_progress(config.trainer.progress, label(cells), about)
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
        plugins=[DeviceProcesses(RANK, PORT, partial(start_processes, cells)), files],
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder.path,
    )


def label(cells: Sequence[Cell]) -> str:
    """Names a training where its progress is shown, and the pictures of a run: `vq on mnist, K=8, seed 0`."""
    seeds = ", ".join(str(cell.config.seed) for cell in cells)
    seed = "seed" if len(cells) == 1 else "seeds"
    chosen = chosen_words(cells[0].config.fidelity, cells[0].hyperparameters)
    return ", ".join([f"{cells[0].choices['bottleneck']} on {cells[0].config.data.name}", *chosen, f"{seed} {seeds}"])


def replays_steps(config: DictConfig, trainer: L.Trainer, model: Autoencoder) -> bool:
    """Whether training replays a captured CUDA graph: on one GPU, unless `trainer.cuda_graph=false`.

    Raises:
        ValueError: if it is asked for where it cannot be.
    """
    asked = config.trainer.cuda_graph
    scaled = str(config.trainer.precision).startswith("16-mixed")  # its loss scaling looks at each step from Python
    single = trainer.strategy.root_device.type == "cuda" and trainer.world_size == 1
    fixed = not model.bottleneck.learns_from_labels and _can_be_captured(config.optimizer)
    possible = single and not scaled and not watches_gradients(trainer) and fixed
    if asked is True and not possible:
        raise ValueError(
            "trainer.cuda_graph=true needs one GPU, a precision other than 16-mixed, no callback that watches "
            "gradients and an optimiser that can be captured (as Adam or SGD), got "
            f"{trainer.world_size} x {trainer.strategy.root_device.type}, {config.trainer.precision}, "
            f"trainer.callbacks {list(config.trainer.callbacks)} and {config.optimizer['_target_']}; leave it at auto"
        )
    return bool(asked) and possible


def _forget_lightnings_settings() -> None:
    """Removes the environment variables that Lightning would follow instead of the configuration."""
    for name in [name for name in os.environ if name.startswith("PL_TRAINER_")]:
        del os.environ[name]
        screen.print_warning(f"{name} of the environment is left out: a run's settings are those of its configuration")


def _can_be_captured(optimizer: DictConfig) -> bool:
    """Whether an optimiser computes all of its update on the device.

    A replay repeats the numbers that Python had at the capture, as a count of steps.
    """
    kind = get_class(optimizer["_target_"])
    return kind is torch.optim.SGD or "capturable" in inspect.signature(kind).parameters


def _quiet_libraries() -> None:
    """Silences what Lightning warns of and what is deliberate here."""
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
