"""Tracking with TensorBoard: event files in the run folder's `tensorboard/`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import OmegaConf
from PIL import Image

from softvq.extras import needed
from softvq.run_folder import RunFolder
from softvq.tracking.tracker import Tracker, figures, results


class TensorBoardTracker(Tracker):
    """Lightning's TensorBoard logger, opened when the first row of the training curve is logged.

    TensorBoard is told that row's step and hides all rows from there on that are in the folder already: those of a
    session that got further than the checkpoint from which this one resumed, or of a run that was started over.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.check_installed()
        self.folder = folder
        self._logger: TensorBoardLogger | None = None

    @staticmethod
    def check_installed() -> None:
        with needed("logger=tensorboard", "tensorboard"):
            import tensorboard  # noqa: F401

    @property
    def name(self) -> str:
        return "tensorboard"

    def _open(self, **settings: Any) -> TensorBoardLogger:
        if self._logger is None:
            self._logger = TensorBoardLogger(
                self.folder.path, name="", version="tensorboard", default_hp_metric=False, **settings
            )
        return self._logger

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        logger = self._open(purge_step=step)
        logger.log_metrics(values, step)
        logger.experiment.flush()  # so that a killed run has the rows up to its checkpoint

    def finalize(self, status: str) -> None:
        if self._logger is not None and status != "success":  # after a success `finish` closes it
            self._logger.experiment.close()

    def finish(self, metrics: Mapping[str, Any], folder: RunFolder) -> None:
        logger, step = self._open(), metrics["steps"]
        settings: Any = OmegaConf.to_container(OmegaConf.load(folder.config))
        logger.log_hyperparams(settings["result_settings"], results(metrics), step)
        for name, path in figures(folder).items():
            with Image.open(path) as picture:
                logger.experiment.add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")
        logger.experiment.close()
