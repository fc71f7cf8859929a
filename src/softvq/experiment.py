"""Runs one cell: composes its parts, trains or resumes it, probes it and writes its folder.

This module and `cell`, which builds the parts, are the ones that see a configuration.
"""

import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from softvq.config import compose, config_hash, differences, result_settings
from softvq.console import screen
from softvq.data.arrays import DatasetInfo, prepare, prepared_info
from softvq.data.source import Source
from softvq.runs import Outcome, RunFolder, read_json, write_json, write_text

RANK = int(os.environ.get("LOCAL_RANK", 0))  # of a process that Lightning started for one of several devices


class ChangedConfigError(ValueError):
    """The folder holds a run of another configuration."""

    def __init__(self, folder: Path, lines: Sequence[str]) -> None:
        changes = "\n  ".join(lines)
        super().__init__(
            f"{folder} holds a run of another configuration:\n  {changes}\n"
            "Choose another folder (hydra.run.dir=PATH) or start over with resume=never"
        )


def run_cell(config: DictConfig) -> Outcome:
    """Trains, probes and records one cell, or as much of that as is missing.

    A cell never raises inside a sweep: whatever went wrong is in its outcome and in its `failure.json`.
    """
    hydra = HydraConfig.get()
    folder = RunFolder(hydra.runtime.output_dir)
    try:
        config = _with_network(config, hydra)
        if RANK:  # the process that started this one holds the lock and writes
            _run(config, folder, dict(hydra.runtime.choices))
            return Outcome("finished", str(folder.path))
        with folder.lock():
            return _run_or_skip(config, folder, dict(hydra.runtime.choices))
    except Exception as error:
        outcome = _failed(folder, error)
        if hydra.mode != RunMode.MULTIRUN:
            raise SystemExit(1) from None
        return outcome


def _failed(folder: RunFolder, error: Exception) -> Outcome:
    frames = traceback.extract_tb(error.__traceback__)
    content = {
        "error": type(error).__name__,
        "message": str(error),
        "step": getattr(error, "step", None),
        "where": f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None,
        "traceback": traceback.format_exception(error),
    }
    if not isinstance(error, ChangedConfigError):  # the folder is another run's
        write_json(folder.failure, content)
    expected = isinstance(error, ValueError | FileNotFoundError) or hasattr(error, "step")
    screen.print(f"[bold red]error:[/] {error}" if expected else "".join(content["traceback"]))
    return Outcome("failed", str(folder.path), f"{type(error).__name__}: {error}")


def _with_network(config: DictConfig, hydra: Any) -> DictConfig:
    """For one's own data, composes again with the network that fits the files' headers."""
    if hydra.runtime.choices["network"] != "auto":
        return config
    height, width, channels = instantiate(config.data.source).image_shape()
    network = "mlp" if channels == 1 and max(height, width) <= 28 else "conv"
    conf_dir = next(source.path for source in hydra.runtime.config_sources if source.provider == "main")
    config = compose(conf_dir, hydra.job.config_name, [*hydra.overrides.task, f"network={network}"])
    hydra.runtime.choices["network"] = network
    return config


def _follow_network(config: DictConfig) -> None:
    """Pixel range and output of one's own data follow the network, as the paper's data sets have them."""
    dense = config.network.encoder._target_.endswith("MLPEncoder")
    if config.data.pixel_offset is None:
        config.data.pixel_offset = 0.0 if dense else -0.5
    if config.data.output_activation is None:
        config.data.output_activation = "sigmoid" if config.data.pixel_offset == 0 else "linear"


def _run_or_skip(config: DictConfig, folder: RunFolder, choices: dict[str, Any]) -> Outcome:
    if config.resume not in ("auto", "never"):
        raise ValueError(f"resume must be auto or never, got {config.resume!r}")
    if config.resume == "never":
        folder.start_over()
    source: Source = instantiate(config.data.source)
    _follow_network(config)
    info = prepared_info(source, config.data.root) or prepare(source, config.data.root).info
    settings = _settings(config, info)
    if folder.config.exists():
        old = OmegaConf.to_container(OmegaConf.load(folder.config))
        assert isinstance(old, dict)
        lines = differences(old["result_settings"], settings)
        if lines:
            raise ChangedConfigError(folder.path, lines)
    metrics = read_json(folder.metrics)
    if metrics is not None and metrics["config_hash"] == config_hash(settings):
        screen.print(f"skipped: {folder.path} is finished; resume=never runs it again")
        return Outcome("skipped", str(folder.path))
    resolved = OmegaConf.to_container(config, resolve=True)
    write_text(folder.config, OmegaConf.to_yaml({**resolved, "choices": choices, "result_settings": settings}))  # type: ignore[dict-item]
    with screen.logged(folder.log):
        metrics = _run(config, folder, choices)
        write_json(folder.metrics, metrics)
        folder.failure.unlink(missing_ok=True)
        from softvq.summary import result_table

        screen.print(result_table(metrics))
        screen.print(f"results: {folder.path}")
    return Outcome("finished", str(folder.path))


def _settings(config: DictConfig, info: DatasetInfo) -> dict[str, Any]:
    return result_settings(OmegaConf.to_container(config, resolve=True), info.sha256)  # type: ignore[arg-type]


def _run(config: DictConfig, folder: RunFolder, choices: dict[str, Any]) -> dict[str, Any]:
    from softvq.cell import run  # torch and lightning, which skipping a finished cell does not need

    return run(config, folder, choices)
