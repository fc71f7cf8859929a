"""Probes a finished run again under another protocol, tap or data: `softvq evaluate` and `python evaluate.py`."""

from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from softvq.command import program
from softvq.config.compose import CONF_DIR


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="evaluate")
def run(config: DictConfig) -> None:
    """Evaluates one run."""
    from softvq.run.evaluate import evaluate_run

    with program.plain_errors():
        evaluate_run(config)


def main(arguments: Sequence[str]) -> None:
    """Runs the program on its arguments."""
    program.call(run, "evaluate", __file__, arguments)
