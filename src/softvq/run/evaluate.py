"""Probes a finished run again: another protocol, another tap, other data."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from softvq.config.settings import check_settings
from softvq.console import screen
from softvq.machine import cores
from softvq.run.build import build_data, build_model, build_probes
from softvq.run.summary import result_table
from softvq.run_folder import RunFolder, read_json, write_json
from softvq.training.autoencoder import Autoencoder
from softvq.training.checkpoint import Identity, read_checkpoint
from softvq.training.devices import check_accelerator

# Precisions in which the weights themselves are not float32.
WEIGHTS = {"64-true": torch.float64, "64": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}


def evaluate_run(config: DictConfig) -> dict[str, Any]:
    """Reloads a run's last checkpoint, probes its codes and writes `evaluations/PROTOCOL-TAP-DATA.json`.

    Raises:
        ValueError: if the folder holds no finished run, or the data do not fit the run's network.
    """
    check_settings(config)
    folder = RunFolder(config.run)
    metrics = read_json(folder.metrics)
    if metrics is None:
        raise ValueError(f"run={config.run} holds no finished run: {folder.metrics} is missing; train it first")
    run_config: Any = OmegaConf.load(folder.config)
    of_data = run_config.copy()
    of_data.data = config.data or run_config.data
    data = build_data(of_data)
    data.setup()
    info = data.arrays.info
    trained_on = metrics["provenance"]["data"]
    shape = tuple(run_config.image_shape)
    if info.image_shape != shape:
        raise ValueError(
            f"data={info.name} has images of {info.image_shape}, but run={config.run} was trained on "
            f"{trained_on['name']} with {shape}; choose data of that shape"
        )
    torch.set_num_threads(config.trainer.threads or cores())
    model = load_model(folder, run_config, info.pixel_variance, metrics["config_hash"])
    model.to(device_of(config.trainer.accelerator))

    found, _ = build_probes(config, folder, torch.get_num_threads()).measure(model, data)
    if metrics["reconstruction"] is None:
        found["reconstruction"] = None
    evaluation = {
        **{key: metrics[key] for key in ("bottleneck", "seed", "fidelity", "steps", "config_hash")},
        "data": info.name,
        "trained_on": trained_on["name"],
        **found,
        "protocol": OmegaConf.to_container(config.probes, resolve=True),
        "data_sha256": info.sha256,
    }
    target = folder.evaluations / f"{config.probes.name}-{config.probes.tap}-{info.name}.json"
    write_json(target, evaluation)
    screen.print(result_table(evaluation))
    screen.print(f"evaluation: {Path(target)}")
    return evaluation


def load_model(folder: RunFolder, config: DictConfig, pixel_variance: float, hash_of_run: str) -> Autoencoder:
    """The trained model of a run, in the precision that it was trained in and in evaluation mode.

    Args:
        folder: of the run.
        config: the content of its `config.yaml`.
        pixel_variance: of its training pixels.
        hash_of_run: which its checkpoint must carry.
    """
    model = build_model(config, tuple(config.image_shape), pixel_variance)
    checkpoint = read_checkpoint(folder.checkpoint, Identity(hash_of_run, config.seed))
    model.to(WEIGHTS.get(str(config.trainer.precision), torch.float32))
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()


def device_of(accelerator: str) -> torch.device:
    """The first device of Lightning's accelerator of that name; `auto` takes a GPU where there is one."""
    if accelerator == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_accelerator(accelerator)
    return torch.device({"gpu": "cuda"}.get(accelerator, accelerator))
