"""Probes a finished run again: another protocol, another tap, other data."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from softvq.cell import build_data, build_model
from softvq.checkpoint import read_checkpoint
from softvq.config import cores
from softvq.console import screen
from softvq.devices import check_accelerator
from softvq.encode import encode
from softvq.probes.protocol import diagnostics, probe
from softvq.progress import ProbeProgress, wanted
from softvq.runs import RunFolder, read_json, write_json
from softvq.settings import check_settings
from softvq.summary import result_table


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
    arrays = data.probed_arrays(config.probes.part)
    trained_on = metrics["provenance"]["data"]
    shape = tuple(run_config.image_shape)
    if arrays.info.image_shape != shape:
        raise ValueError(
            f"data={arrays.info.name} has images of {arrays.info.image_shape}, but run={config.run} was trained on "
            f"{trained_on['name']} with {shape}; choose data of that shape"
        )
    torch.set_num_threads(config.trainer.threads or cores())
    model = build_model(run_config, shape, arrays.info.pixel_variance)
    model.load_state_dict(read_checkpoint(folder.checkpoint)["state_dict"])
    model.to(device_of(config.trainer.accelerator))

    protocol = config.probes
    encoded = encode(model, arrays, protocol.tap, data.eval_batch_size)
    found = probe(
        encoded.codes.limited(protocol.train_limit, protocol.test_limit),
        instantiate(protocol.clustering),
        instantiate(protocol.classification),
        torch.get_num_threads(),
        ProbeProgress(wanted(config.trainer.progress)),
    )
    codebook = getattr(model.bottleneck, "codebook", None)
    evaluation = {
        **{key: metrics[key] for key in ("bottleneck", "seed", "fidelity", "steps", "config_hash")},
        "data": arrays.info.name,
        "trained_on": trained_on["name"],
        "probes": asdict(found),
        "reconstruction": metrics["reconstruction"]
        and {
            "test_mse": encoded.test_mse,
            "test_normalized_mse": encoded.test_mse / arrays.info.pixel_variance,
        },
        "diagnostics": diagnostics(encoded.test_z_e, encoded.test_index, None if codebook is None else len(codebook)),
        "protocol": OmegaConf.to_container(protocol, resolve=True),
        "data_sha256": arrays.info.sha256,
    }
    target = folder.evaluations / f"{protocol.name}-{protocol.tap}-{arrays.info.name}.json"
    write_json(target, evaluation)
    screen.print(result_table(evaluation))
    screen.print(f"evaluation: {Path(target)}")
    return evaluation


def device_of(accelerator: str) -> torch.device:
    """The first device of Lightning's accelerator of that name; `auto` takes a GPU where there is one."""
    if accelerator == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_accelerator(accelerator)
    return torch.device({"gpu": "cuda"}.get(accelerator, accelerator))
