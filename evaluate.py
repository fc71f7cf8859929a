"""Probes a finished run again, under another protocol, tap or data; `evaluate.py --help` explains the choices."""

import hydra
from omegaconf import DictConfig

from softvq import command


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(config: DictConfig) -> None:
    """Evaluates one run."""
    from softvq.run.evaluate import evaluate_run

    with command.plain_errors():
        evaluate_run(config)


if __name__ == "__main__":
    command.run(main)
