"""Probes a finished run again: another protocol, another tap, other data."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from softvq.bounded_files import UnreadableFileError, printable, read_json
from softvq.config.identity import DECIDE_NO_NUMBER, config_hash
from softvq.config.settings import check_settings
from softvq.console import screen
from softvq.data.dataset import DatasetInfo
from softvq.durable_files import write_json
from softvq.machine import cores
from softvq.run.build import build_probes
from softvq.run.load import FinishedRun, load_run
from softvq.run.summary import result_table
from softvq.seals import sealed
from softvq.training.devices import check_accelerator, set_matmul_precision

OF_RUN = ("bottleneck", "seed", "fidelity", "steps", "config_hash")  # what an evaluation repeats of its run


def evaluate_run(config: DictConfig) -> dict[str, Any]:
    """Reloads a run's last checkpoint, probes its codes and writes `evaluations/PROTOCOL-TAP-DATA.json`.

    The seed of the probes is part of that name if it is not the protocol's own. An evaluation with other settings or of
    other images, which has that name already, stays: the new one's name ends with a hash of what it measures.

    Raises:
        ValueError: if the folder holds no finished run, or the data do not fit the run's network.
    """
    check_settings(config, evaluating=True)
    if config.out and os.path.lexists(out := Path(config.out).expanduser()) and not out.is_dir():
        raise ValueError(f"out={config.out} is no folder; name one, or leave it out for that of the run")
    run = load_run(config.run, config.trust)
    of_data = run.config.copy()
    of_data.data = _data(config, run)
    data = run.images(of_data)
    info = data.arrays.info
    trained_on = run.metrics["provenance"]["data"]
    if info.image_shape != run.image_shape:
        raise ValueError(
            f"data={info.name} has images of {info.image_shape}, but run={config.run} was trained on "
            f"{trained_on['name']} with {run.image_shape}; choose data of that shape"
        )
    if not _chosen(config):
        check_same_images(run, info)
    torch.set_num_threads(config.trainer.threads or cores())
    set_matmul_precision(run.config.trainer.matmul_precision)
    model = run.model().to(device_of(config.trainer.accelerator))

    folder = Path(config.out).expanduser() if config.out else run.folder.evaluations
    protocol: dict[str, Any] = OmegaConf.to_container(config.probes, resolve=True)  # type: ignore[assignment]
    about = {**{key: run.metrics[key] for key in OF_RUN}, "protocol": protocol, "data_sha256": info.sha256}
    seed = f"-seed-{protocol['seed']}" if protocol["seed"] else ""
    name = _free_name(folder, f"{protocol['name']}-{protocol['tap']}-{info.name}{seed}", about)
    probes = build_probes(config, name, folder, folder / f"{name}.npz", torch.get_num_threads())
    probes.check(model, data)
    found, encoded = probes.measure(model, data)
    if run.metrics["reconstruction"] is None:
        found["reconstruction"] = None
    evaluation = {**about, "data": info.name, "trained_on": trained_on["name"], **found}
    write_json(folder / f"{name}.json", sealed(evaluation))
    if config.probes.save_latents:
        probes.save_latents(encoded, data)
    screen.print(result_table({**evaluation, "hyperparameters": run.metrics.get("hyperparameters")}))
    screen.print(f"evaluation: {folder / f'{name}.json'}")
    return evaluation


def _free_name(folder: Path, name: str, about: Mapping[str, Any]) -> str:
    """A name for an evaluation's files that no other evaluation has; the same one keeps its own.

    Args:
        folder: of the files.
        name: that it gets where no other one has it.
        about: what is measured.
    """
    try:
        free = _decisive(read_json(folder / f"{name}.json"), about) == _decisive(about, about)
    except FileNotFoundError:
        free = True
    except (UnreadableFileError, AttributeError, KeyError, TypeError):  # something else than an evaluation
        free = False
    return name if free else f"{name}-{config_hash(_decisive(about, about))[:8]}"


def _decisive(evaluation: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """What decides the numbers of an evaluation."""
    protocol = {key: value for key, value in evaluation["protocol"].items() if key not in DECIDE_NO_NUMBER}
    return {**{key: evaluation[key] for key in keys}, "protocol": protocol}


def check_same_images(run: FinishedRun, info: DatasetInfo) -> None:
    """Refuses images that are not those that a run was trained on.

    Raises:
        ValueError: if their content differs.
    """
    trained_on = run.metrics["provenance"]["data"]
    if info.sha256 != trained_on["sha256"]:
        raise ValueError(
            f"{run.folder.path} was trained on {printable(trained_on['name'])} with the content "
            f"{printable(trained_on['sha256'][:12])}, but "
            f"{info.source} has {info.sha256[:12]}; set data.root=PATH or data.dir=PATH to where the run's images lie, "
            "or choose other data by data=NAME"
        )


def _chosen(config: DictConfig) -> bool:
    """Whether other data than the run's own are asked for."""
    return "source" in config.data


def _data(config: DictConfig, run: FinishedRun) -> DictConfig:
    """The settings of the data to probe: those that `data=NAME` chose, else the run's own.

    A run that was moved to another machine finds its data where `data.root`, `data.dir` or SOFTVQ_DATA say.
    """
    if _chosen(config):
        return config.data
    data = run.config.data.copy()
    for key in ("root", "dir", "verify"):
        if config.data.get(key) is not None:
            data[key] = config.data[key]
    gone = not Path(data.get("root") or "").is_dir()
    if config.data.get("root") is None and gone and "SOFTVQ_DATA" in os.environ:
        data.root = os.environ["SOFTVQ_DATA"]
    return data


def device_of(accelerator: str) -> torch.device:
    """The first device of Lightning's accelerator of that name; `auto` takes a GPU where there is one."""
    if accelerator == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_accelerator(accelerator)
    return torch.device({"gpu": "cuda"}.get(accelerator, accelerator))
