"""A cell: one configuration, its folder, and what of it is done already.

Nothing here imports torch, so that a finished cell is recognised at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from softvq.config.compose import compose, own_folders, refuse_shadowed
from softvq.config.folder_name import chosen_settings
from softvq.config.identity import config_hash, differences, result_settings
from softvq.config.launcher import threads_of_job
from softvq.config.settings import check_seeds_at_once, check_settings
from softvq.config.targets import missing_target
from softvq.data.dataset import DatasetInfo
from softvq.data.files import check_place
from softvq.data.source import Source
from softvq.run.agreement import check_whole
from softvq.run.recorded import read_config, read_metrics
from softvq.run_folder import DamagedFileError, RunFolder


class ChangedConfigError(ValueError):
    """The folder holds a run of another configuration."""

    def __init__(self, folder: Path, lines: Sequence[str]) -> None:
        changes = "\n  ".join(lines)
        super().__init__(
            f"{folder} holds a run of another configuration:\n  {changes}\n"
            "Choose another folder (hydra.run.dir=PATH) or start over with resume=never"
        )


@dataclass(frozen=True)
class Outcome:
    """How a cell ended: `finished`, `skipped` (it was finished before) or `failed`, and why."""

    status: str
    folder: str
    message: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of a sweep, or a single run: its completed configuration and its folder.

    Attributes:
        config: its settings.
        choices: group -> choice.
        folder: of its files.
        chosen: keys of the settings that were given explicitly, and that say what is computed.
    """

    config: DictConfig
    choices: dict[str, Any]
    folder: RunFolder
    chosen: tuple[str, ...] = ()

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The settings that were given explicitly, by their keys."""
        values = {key: OmegaConf.select(self.config, key) for key in self.chosen}
        return {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in values.items()
        }

    def source(self) -> Source:
        """Where its images come from."""
        return _source(self.config)

    def settings(self, info: DatasetInfo) -> dict[str, Any]:
        """What decides its result.

        Raises:
            ValueError: if the images are of another shape than the configuration says.
        """
        check_image_shape(self.config, info.name, info.image_shape)
        resolved: dict[str, Any] = OmegaConf.to_container(self.config, resolve=True)  # type: ignore[assignment]
        return result_settings(resolved, info.sha256)

    def state(self, settings: dict[str, Any] | None) -> str:
        """`finished`, `failed`, `unfinished` or `new`; without settings (data not prepared yet) never `finished`.

        Raises:
            ChangedConfigError: if the folder holds another configuration's run.
            DamagedFileError: if it holds a run without its configuration.
            ValueError: if it holds somebody's own files instead of a run.
        """
        self.folder.check_own()
        if self.config.resume == "never":
            return "new"
        started = self.folder.checkpoints.is_dir() and any(self.folder.checkpoints.glob("*.ckpt"))
        if settings is not None:
            # A run that failed before its first checkpoint has left nothing to mix up.
            if self.folder.config.exists() and (started or self.folder.metrics.exists()):
                lines = differences(read_config(self.folder)["result_settings"], settings)
                if lines:
                    raise ChangedConfigError(self.folder.path, lines)
            if self.is_finished(settings):
                return "finished"
            if not self.folder.config.exists() and (started or self.folder.metrics.exists()):
                raise DamagedFileError(self.folder.config, "it is missing, so that nobody knows whose run this is")
        if self.folder.failure.exists():
            return "failed"
        return "unfinished" if started else "new"

    def is_finished(self, settings: dict[str, Any]) -> bool:
        """Whether its folder holds the results of these settings.

        Raises:
            DamagedFileError: if they are not what was written.
        """
        metrics = read_metrics(self.folder)
        if metrics is None or metrics["config_hash"] != config_hash(settings):
            return False
        check_whole(self.folder, metrics)
        return True


def check_image_shape(config: DictConfig, name: str, found: Sequence[int]) -> None:
    """Refuses a `data.image_shape` that is not that of the images.

    Raises:
        ValueError: naming both.
    """
    shape = list(config.data.image_shape)
    if shape != list(found):
        raise ValueError(f"data.image_shape={shape}: the images of {name} are {list(found)}; leave it out")


def read_cell(config: DictConfig, hydra: DictConfig, folder: str | Path, launcher: DictConfig | None) -> Cell:
    """The cell of a composed configuration, completed by what only the files and the machine tell.

    One's own data get the shape of their images and a network that fits it; a job of a sweep gets its share of the
    cores.

    Raises:
        DataError: if the headers cannot be read.
        ValueError: for values that are missing or of the wrong kind.
    """
    choices = dict(hydra.runtime.choices)
    refuse_shadowed(hydra)
    check_settings(config)
    if (choices["bottleneck"] == "raw") != (choices["network"] == "pixels"):
        raise ValueError(
            f"bottleneck=raw and network=pixels belong together, got bottleneck={choices['bottleneck']} "
            f"network={choices['network']}"
        )
    if config.trainer.seeds_per_process > 1:
        check_seeds_at_once(config, in_sweep=launcher is not None)
    _make_absolute(config, hydra)
    check_place("data.root", Path(config.data.root))
    if choices["network"] == "auto":
        choices["network"] = _fitting_network(*_source(config).image_shape())
        overrides = [*hydra.overrides.task, f"network={choices['network']}"]
        config = compose(hydra.job.config_name, overrides, own_folders(hydra))
        _make_absolute(config, hydra)
    if OmegaConf.is_missing(config.data, "image_shape"):
        config.data.image_shape = list(_source(config).image_shape())
    if config.data.pixel_offset is None:
        config.data.pixel_offset = -0.5 if choices["network"].startswith("conv") else 0.0
    if config.data.output_activation is None:
        config.data.output_activation = "linear" if config.data.pixel_offset else "sigmoid"
    if choices["bottleneck"] in ("raw", "untrained") and config.trained:
        raise ValueError(f"trained=true: bottleneck={choices['bottleneck']} is a floor that is never trained")
    if not config.trained:
        config.trainer.max_steps = 0
    if config.trainer.threads is None:
        config.trainer.threads = threads_of_job(launcher)
    return Cell(config, choices, RunFolder(folder), chosen_settings(hydra.overrides.task, choices))


def _source(config: DictConfig) -> Source:
    """Where a configuration's images come from.

    Raises:
        ValueError: if its settings do not fit.
    """
    key = "data.source._target_"
    if fault := missing_target(key, OmegaConf.select(config, key)):
        raise ValueError(fault)
    try:
        return instantiate(config.data.source)
    except InstantiationException as error:
        cause = error.__cause__ or error
        said = f"data.source: {type(cause).__name__}: {str(cause).partition(chr(10))[0]}"
        raise (cause if isinstance(cause, ValueError) else ValueError(said)) from error


def _make_absolute(config: DictConfig, hydra: DictConfig) -> None:
    """Makes the paths of the data absolute; a relative one begins in the folder where the command was typed.

    With `hydra.job.chdir=true` this process works in the run's folder by now. A `config.yaml` with absolute paths also
    serves whoever reads it from another folder.
    """
    for key in ("root", "dir"):
        if config.data.get(key):
            config.data[key] = str((Path(hydra.runtime.cwd) / Path(config.data[key]).expanduser()).resolve())


def _fitting_network(height: int, width: int, channels: int) -> str:
    """The network for one's own images: `mlp` for gray ones up to 28 x 28, and where `conv` cannot halve four times."""
    small = channels == 1 and max(height, width) <= 28
    return "mlp" if small or min(height, width) < 16 else "conv"
