"""Loads a finished run: its settings, its results and its trained model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from softvq.bounded_files import first_line
from softvq.config.compose import settings_of
from softvq.config.schema import kind_of
from softvq.config.targets import check_recorded, named_in
from softvq.data.module import ImageData
from softvq.run.agreement import check_agreement
from softvq.run.build import build_data, build_model, checked, weights_dtype
from softvq.run.recorded import finished_metrics, read_config
from softvq.run_folder import DamagedFileError, RunFolder
from softvq.training.autoencoder import Autoencoder
from softvq.training.checkpoint import Identity, check_weights, read_checkpoint

MODELS_OWN = ("bottleneck", "network", "reconstruction", "data", "penalty_weight", "seed", "fidelity")


@dataclass(frozen=True)
class FinishedRun:
    """A run folder whose files agree with one another.

    Attributes:
        folder: of the run.
        config: the content of its `config.yaml`.
        metrics: the content of its `metrics.json`.
    """

    folder: RunFolder
    config: DictConfig
    metrics: dict[str, Any]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images that it was trained on."""
        return tuple(self.config.image_shape)

    @property
    def pixel_variance(self) -> float:
        """Variance of its training pixels, in [0, 1]; 1 for a run without a reconstruction, which needs none."""
        reconstruction = self.metrics["reconstruction"] or {"test_mse": 1.0, "test_normalized_mse": 1.0}
        return reconstruction["test_mse"] / reconstruction["test_normalized_mse"]

    def model(self) -> Autoencoder:
        """The trained model, in the precision that it was trained in and in evaluation mode.

        Raises:
            DamagedFileError: if its checkpoint cannot be read, or is not of the step that its results are of.
            ForeignCheckpointError: if that is another run's.
        """
        identity = Identity(self.metrics["config_hash"], self.config.seed)
        checkpoint = read_checkpoint(self.folder.checkpoint, identity)
        step, steps = checkpoint["global_step"], self.metrics["steps"]
        if step != steps:
            raise DamagedFileError(self.folder.checkpoint, f"it is of step {step}, the results are of step {steps}")
        with torch.device("meta"):  # takes no memory, however large a model a damaged configuration describes
            check_weights(self.folder.checkpoint, checkpoint, self._built())
        model = self._built()
        model.to(weights_dtype(self.config))
        model.load_state_dict(checkpoint["state_dict"])
        return model.eval()

    def images(self, config: DictConfig | None = None) -> ImageData:
        """The data module of its images, which is set up.

        Args:
            config: settings in place of its own.

        Raises:
            DamagedFileError: if its settings are not what a run writes.
            DataError: if the images are not where they say.
        """
        try:
            data = checked(lambda: build_data(self.config if config is None else config))
            data.setup()
        except (ValueError, OSError):
            raise
        except Exception as error:  # of whatever a file that was changed asks for
            raise DamagedFileError(self.folder.config, f"no images can be read by it: {first_line(error)}") from error
        return data

    def _built(self) -> Autoencoder:
        try:
            return build_model(self.config, self.image_shape, self.pixel_variance, classes_in(self.metrics))
        except Exception as error:  # of whatever a file that was changed asks for
            raise DamagedFileError(self.folder.config, f"no model can be built of it: {first_line(error)}") from error


def classes_in(metrics: dict[str, Any]) -> int:
    """How many classes the data of a run have, as its results say; 0 without labels."""
    return len(metrics["provenance"]["data"].get("class_names") or ())


def load_run(path: str | Path, trust: Sequence[str] = ()) -> FinishedRun:
    """A finished run's files.

    Args:
        path: of the run's folder.
        trust: classes of one's own that its configuration may name, beside those in `conf/` of the current folder.

    Raises:
        ValueError: if the folder holds none, or files that do not belong together.
        UntrustedTargetError: if its configuration names what is neither softvq's nor trusted.
    """
    folder, metrics = RunFolder(path), finished_metrics(path)
    recorded_config = read_config(folder)
    check_recorded(recorded_config, str(folder.config), {*trust, *trusted_here(folder.path)})
    check_agreement(folder, recorded_config, metrics)
    _check_buildable(folder, recorded_config)
    config = OmegaConf.create(recorded_config)
    assert isinstance(config, DictConfig)
    return FinishedRun(folder, config, metrics)


def trusted_here(run: Path) -> set[str]:
    """The classes that the user's own configurations in the current folder name.

    Args:
        run: a folder that somebody else may have made; what lies in it vouches for nothing.
    """
    own = Path("conf").resolve()
    return named_in([own]) if own.is_dir() and not own.is_relative_to(run.resolve()) else set()


def _check_buildable(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Refuses a `config.yaml` in which what a model is built of is of the wrong kind.

    Raises:
        DamagedFileError: naming what is wrong.
    """
    shape = config.get("image_shape")
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
        raise DamagedFileError(folder.config, "its image_shape is not height, width and channels")
    for key, value in settings_of(OmegaConf.create({part: config.get(part) for part in MODELS_OWN})).items():
        kind = kind_of(key)
        if kind is not None:
            try:
                kind.refuse(key, value)
            except ValueError as error:
                raise DamagedFileError(folder.config, str(error)) from error
