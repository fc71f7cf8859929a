"""Trains and probes one cell, or with -m a sweep of them: `softvq train` and `python train.py`."""

from collections.abc import Sequence
from typing import Any

import hydra
from omegaconf import DictConfig

from softvq.command import program
from softvq.config.compose import CONF_DIR


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")
def run(config: DictConfig) -> Any:
    """Runs the composed cell, or a sweep's job of several."""
    from softvq.run.job import run_job

    return run_job(config)


def main(arguments: Sequence[str]) -> None:
    """Runs the program on its arguments."""
    program.call(run, "train", __file__, arguments)
