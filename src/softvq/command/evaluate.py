"""Probes a finished run again under another protocol, tap or data: `softvq evaluate` and `python evaluate.py`."""

from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from softvq.command import program
from softvq.config.compose import CONF_DIR
from softvq.config.settings import check_settings
from softvq.run.recorded import finished_metrics


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="evaluate")
def run(config: DictConfig) -> None:
    """Evaluates one run."""
    with program.plain_errors():
        check_settings(config, evaluating=True)
        finished_metrics(config.run)  # before torch is loaded, which takes seconds
        from softvq.run.evaluate import evaluate_run

        evaluate_run(config)


def main(arguments: Sequence[str]) -> None:
    """Runs the program on its arguments."""
    program.call(run, "evaluate", __file__, arguments)
