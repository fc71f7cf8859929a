"""Probes a finished run again, under another protocol, tap or data; `evaluate.py --help` explains the choices."""

import hydra
from omegaconf import DictConfig

from softvq import cli


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(config: DictConfig) -> None:
    """Evaluates one run."""
    from softvq.evaluation import evaluate_run

    with cli.plain_errors():
        evaluate_run(config)


if __name__ == "__main__":
    cli.run(main)
