"""Trains and probes one cell, or with -m a sweep of them; `python train.py --help` explains the choices."""

import hydra
from omegaconf import DictConfig

from softvq import command
from softvq.run.cell import Outcome


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> list[Outcome]:
    """Runs the composed cell, or a sweep's job of several."""
    from softvq.run.job import run_job

    return run_job(config)


if __name__ == "__main__":
    command.run(main)
