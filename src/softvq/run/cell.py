"""Runs one cell: finds out what of it is done, trains or resumes it, and writes its folder.

This module and `cell`, which builds the parts, are the ones that see a configuration. Nothing here imports torch: a
finished cell is recognised without it.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from softvq.config.compose import CONF_DIR, compose
from softvq.config.errors import missing_values
from softvq.config.identity import config_hash, differences, result_settings
from softvq.config.launcher import threads_of_job
from softvq.config.settings import check_settings, check_together
from softvq.console import screen
from softvq.data.dataset import DatasetInfo
from softvq.data.prepared import prepare, prepared_info
from softvq.data.source import Source
from softvq.run.process import RANK, belong_to_sweep, told_to_stop
from softvq.run_folder import DamagedFileError, RunFolder, read_json, write_json, write_text


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
    """One cell of a sweep, or a single run: its completed configuration and its folder."""

    config: DictConfig
    choices: dict[str, Any]
    folder: RunFolder

    def source(self) -> Source:
        """Where its images come from."""
        return instantiate(self.config.data.source)

    def settings(self, info: DatasetInfo) -> dict[str, Any]:
        """What decides its result."""
        resolved: dict[str, Any] = OmegaConf.to_container(self.config, resolve=True)  # type: ignore[assignment]
        return result_settings(resolved, info.sha256)

    def state(self, settings: dict[str, Any] | None) -> str:
        """`finished`, `failed`, `unfinished` or `new`; without settings (data not prepared yet) never `finished`.

        Raises:
            ChangedConfigError: if the folder holds another configuration's run.
        """
        if self.config.resume == "never":
            return "new"
        if settings is not None:
            # A run that failed before its first checkpoint has left nothing to mix up.
            if self.folder.config.exists() and (self.folder.checkpoint.exists() or self.folder.metrics.exists()):
                lines = differences(self._recorded_settings(), settings)
                if lines:
                    raise ChangedConfigError(self.folder.path, lines)
            if self.is_finished(settings):
                return "finished"
        if self.folder.failure.exists():
            return "failed"
        return "unfinished" if self.folder.checkpoint.exists() else "new"

    def is_finished(self, settings: dict[str, Any]) -> bool:
        """Whether its folder holds the results of these settings."""
        metrics = read_json(self.folder.metrics)
        if metrics is None:
            return False
        if not isinstance(metrics, dict) or "config_hash" not in metrics:
            raise DamagedFileError(self.folder.metrics, "it has no config_hash")
        return metrics["config_hash"] == config_hash(settings)

    def _recorded_settings(self) -> dict[str, Any]:
        try:
            return OmegaConf.to_container(OmegaConf.load(self.folder.config))["result_settings"]  # type: ignore[index,call-overload,return-value]
        except (YAMLError, KeyError, TypeError, OSError) as error:
            raise DamagedFileError(self.folder.config, f"{type(error).__name__}: {error}") from error


def read_cell(config: DictConfig, hydra: DictConfig, folder: str | Path, launcher: DictConfig | None) -> Cell:
    """The cell of a composed configuration, completed by what only the files and the machine tell.

    One's own data gets the network that fits its files' headers, a job its share of the cores.

    Raises:
        DataError: if the headers cannot be read.
        ValueError: for values that are missing or of the wrong kind.
    """
    if missing := missing_values(config):
        raise ValueError("\n  ".join(missing))
    choices = dict(hydra.runtime.choices)
    check_settings(config)
    if (choices["bottleneck"] == "raw") != (choices["network"] == "pixels"):
        raise ValueError(
            f"bottleneck=raw and network=pixels belong together, got bottleneck={choices['bottleneck']} "
            f"network={choices['network']}"
        )
    if config.trainer.seeds_per_process > 1:
        check_together(config, in_sweep=launcher is not None)
    if choices["network"] == "auto":
        choices["network"] = _fitting_network(*instantiate(config.data.source).image_shape())
        overrides = [*hydra.overrides.task, f"network={choices['network']}"]
        config = compose(CONF_DIR, hydra.job.config_name, overrides)
    for key in ("root", "dir"):  # the folder's config.yaml serves from any other folder, too
        if config.data.get(key):
            config.data[key] = str(Path(config.data[key]).expanduser().resolve())
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
    return Cell(config, choices, RunFolder(folder))


def _fitting_network(height: int, width: int, channels: int) -> str:
    """The network of one's own images: MNIST's up to its size and where conv cannot halve them four times."""
    small = channels == 1 and max(height, width) <= 28
    return "mlp" if small or min(height, width) < 16 else "conv"


def run_cell(config: DictConfig) -> Outcome | list[Outcome]:
    """Trains, probes and records one cell, or as much of that as is missing; in a job of several seeds, each of them.

    A cell of a sweep never raises: whatever went wrong is in its outcome and in its `failure.json`.

    Raises:
        SystemExit: with status 1, if a single run failed.
    """
    hydra: Any = HydraConfig.get()
    in_sweep = not OmegaConf.is_missing(hydra.job, "num")
    if in_sweep:
        belong_to_sweep(hydra.launcher)
    folder = RunFolder(hydra.runtime.output_dir)
    members: Any = OmegaConf.to_container(config.trainer.members) if config.trainer.members else {}
    folders = [RunFolder(path) for path in members.values()] or [folder]
    try:
        cell = read_cell(config, hydra, folder.path, hydra.launcher if in_sweep else None)
        if RANK:
            _run(cell)
            return Outcome("finished", str(folder.path))
        return complete_together(_members(cell, members)) if members else complete(cell)
    except Exception as error:
        outcomes = [_failed(own, error) for own in folders]
        if in_sweep:
            return outcomes if members else outcomes[0]
        raise SystemExit(1) from None
    except SystemExit as error:
        if not in_sweep:
            raise
        if told_to_stop(error):
            raise KeyboardInterrupt from error
        outcomes = [_failed(own, RuntimeError(f"the cell exited with status {error.code}")) for own in folders]
        return outcomes if members else outcomes[0]


def _members(cell: Cell, members: dict[int, str]) -> list[Cell]:
    """The cells of a job of several seeds, each as if it had been read by itself."""
    cells = []
    for seed, path in members.items():
        config = cell.config.copy()
        config.seed, config.trainer.members = seed, None
        cells.append(replace(cell, config=config, folder=RunFolder(path)))
    return cells


def _failed(folder: RunFolder, error: Exception) -> Outcome:
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, ValueError):
        error = error.__cause__  # Hydra's words around it say nothing more
    frames = traceback.extract_tb(error.__traceback__)
    lines = traceback.format_exception(error)
    if not isinstance(error, ChangedConfigError) and not folder.metrics.exists():  # that folder is another run's
        content = {
            "error": type(error).__name__,
            "message": str(error),
            "step": getattr(error, "step", None),
            "where": f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None,
            "traceback": lines,
        }
        with suppress(OSError):  # a folder that cannot be written is what failed
            write_json(folder.failure, content)
    expected = isinstance(error, ValueError | FileNotFoundError) or hasattr(error, "step")
    screen.print_error(str(error) if expected else "".join(lines))
    return Outcome("failed", str(folder.path), f"{type(error).__name__}: {error}")


def complete(cell: Cell) -> Outcome:
    """Does what is missing of a cell, under its folder's lock.

    Raises:
        ChangedConfigError: if the folder holds another configuration's run.
        ValueError: for settings that do not fit, or data that are missing or damaged.
        NonFiniteLossError: if training diverges.
    """
    with _locked(cell.folder):
        if skipped := _begin(cell):
            return skipped
        with screen.logged(cell.folder.log):
            return _end(cell, lambda: _run(cell))


def complete_together(cells: Sequence[Cell]) -> list[Outcome]:
    """Does what is missing of cells that differ in their seeds alone, at once, under all their folders' locks.

    What a cell raises is in its outcome and in its `failure.json`; the others go on.
    """
    outcomes: dict[Path, Outcome] = {}
    with ExitStack() as locks:
        missing = []
        for cell in sorted(cells, key=lambda cell: cell.folder.path):  # in one order: no two jobs wait for each other
            try:
                locks.enter_context(_locked(cell.folder))
                skipped = _begin(cell)
            except Exception as error:
                skipped = _failed(cell.folder, error)
            if skipped:
                outcomes[cell.folder.path] = skipped
            else:
                missing.append(cell)
        if missing:
            from softvq.run.together import run_together  # torch and lightning, too

            with screen.logged(*(cell.folder.log for cell in missing)):
                for cell, finish in run_together(missing):
                    with screen.logged_alone(cell.folder.log):
                        try:
                            outcomes[cell.folder.path] = _end(cell, finish)
                        except Exception as error:
                            outcomes[cell.folder.path] = _failed(cell.folder, error)
    return [outcomes[cell.folder.path] for cell in cells]


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """Holds a folder's lock, however long another process is at it."""
    lock = folder.lock()
    try:
        lock.acquire(timeout=0)
    except Timeout:
        screen.print(f"waiting: another process is at {folder.path}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _begin(cell: Cell) -> Outcome | None:
    """Makes a cell's folder ready for its run; an outcome if it is finished already."""
    config, folder = cell.config, cell.folder
    source = cell.source()
    info = prepared_info(source, config.data.root) or prepare(source, config.data.root).info
    settings = cell.settings(info)
    if cell.state(settings) == "finished":
        screen.print(f"skipped: {folder.path} is finished; resume=never runs it again")
        folder.failure.unlink(missing_ok=True)
        return Outcome("skipped", str(folder.path))
    folder.remove_partial()
    if config.resume == "never":
        folder.start_over()
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)
    written = {**resolved, "choices": cell.choices, "image_shape": info.image_shape, "result_settings": settings}
    write_text(folder.config, OmegaConf.to_yaml(OmegaConf.create(written)))
    return None


def _end(cell: Cell, run: Callable[[], dict[str, Any]]) -> Outcome:
    """Calls what gives a cell its metrics, and shows them."""
    folder = cell.folder
    try:
        metrics = run()
    except Exception as error:
        screen.note("".join(traceback.format_exception(error)))
        raise
    folder.failure.unlink(missing_ok=True)
    from softvq.run.summary import result_table

    screen.print(result_table(metrics))
    screen.print(f"results: {folder.path}")
    return Outcome("finished", str(folder.path))


def _run(cell: Cell) -> dict[str, Any]:
    from softvq.run.build import run  # torch and lightning, which skipping a finished cell does not need

    return run(cell.config, cell.folder, cell.choices)
