"""Trains one cell, or several seeds at once, probes what came out, and writes each run's results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from traceback import walk_tb
from typing import Any

import lightning as L
from hydra.utils import instantiate

from softvq import stop
from softvq.bounded_files import first_line, printable
from softvq.config.identity import config_hash
from softvq.console import screen
from softvq.data.module import ImageData, ReplicaData
from softvq.durable_files import write_json
from softvq.machine import cores
from softvq.probes.run import Probes
from softvq.run.build import (
    ConfigError,
    build_data,
    build_model,
    build_optimizer,
    build_probes,
    build_trackers,
    checked,
    start_from_data,
    weights_dtype,
)
from softvq.run.cell import Cell
from softvq.run.process import RANK
from softvq.run.provenance import commit
from softvq.run.recorded import read_config
from softvq.run.results import Session, describe
from softvq.run.trainer import build_trainer, label, replays_steps, set_up_process
from softvq.run_folder import DamagedFileError
from softvq.seals import sealed, with_curve
from softvq.tracking.curve import read_curve
from softvq.tracking.tracker import Tracker
from softvq.training.autoencoder import Autoencoder
from softvq.training.checkpoint import Generations, Identity, RunCheckpoints
from softvq.training.cuda_graph import capture_cuda_graph
from softvq.training.curve import NonFiniteLossError
from softvq.training.member import Member
from softvq.training.module import TrainingModule
from softvq.training.saving import ResumeCheckpoint

Results = dict[str, Any] | Exception


@dataclass(frozen=True)
class _Part:
    """A cell with the parts that were built for it. A training has one, or one for each seed that it trains at once."""

    cell: Cell
    data: ImageData
    model: Autoencoder
    probes: Probes
    trackers: list[Tracker]


class ProbesAtEnd(L.Callback):
    """Probes every member when training ends; in the first process alone.

    Args:
        parts: the members.
        where: tells, for a person who stops the run meanwhile, how far it is.

    Attributes:
        results: number of a member -> what its probes found, or the exception that ended them.
    """

    def __init__(self, parts: Sequence[_Part], where: Callable[[], str]) -> None:
        self.parts, self.where = parts, where
        self.results: dict[int, Results] = {}

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for part in self.parts:
            part.probes.check(part.model.to(pl_module.device), part.data)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        if not trainer.is_global_zero:
            return
        for s, part in enumerate(self.parts):
            if pl_module.members[s].failure is not None:
                continue
            model = pl_module.model_of(s).to(pl_module.device)
            with screen.logged_alone(part.cell.folder.log), stop.raised(self.where):
                try:
                    self.results[s] = part.probes.run(model, part.data, trainer.global_step, part.cell.folder.curve)
                except Exception as error:  # the other members are probed all the same
                    self.results[s] = error
            if len(self.parts) > 1:
                model.cpu()  # makes room on the device for the next member


def train(cells: Sequence[Cell]) -> Iterator[tuple[Cell, Results]]:
    """Trains cells from where they stopped, as many at once as can go on from the same step.

    Args:
        cells: one, or several that differ in their seeds alone; their folders are locked and hold `config.yaml`.

    Yields:
        Each cell with the content of its `metrics.json`, which is written by then, or with what went wrong.
    """
    for group, resume_from in _groups(cells):
        if isinstance(resume_from, Exception):
            yield from ((cell, resume_from) for cell in group)
            continue
        try:
            results = _train(group, resume_from)
        except Exception as error:
            results = [error] * len(group)
        yield from zip(group, results, strict=True)


def _groups(cells: Sequence[Cell]) -> list[tuple[list[Cell], list[Path] | Exception]]:
    """The cells that can go on together, with the checkpoint of each; without checkpoints where they begin.

    A killed group may have written the last checkpoints of some members alone. Each keeps the one before, too, so that
    all can go back to the step that they have in common.
    """
    groups: list[tuple[list[Cell], list[Path] | Exception]] = []
    readable: list[tuple[Cell, dict[int, Path]]] = []
    for cell in cells:
        generations = Generations(cell.folder.checkpoint)
        try:
            files = generations.readable(_identity(cell), screen.print_warning)
            files.pop(0, None)  # nothing was trained by step 0: such a cell begins like one without a checkpoint
            if files:
                _tell_lost_rows(cell, max(files))
            readable.append((cell, files))
        except ValueError as error:
            groups.append(([cell], error))
    common = set.intersection(*(set(files) for _, files in readable)) if readable else set()
    by_step: dict[int, list[tuple[Cell, dict[int, Path]]]] = {}
    for cell, files in readable:
        by_step.setdefault(max(common or files, default=0), []).append((cell, files))
    for step, members in by_step.items():
        groups.append(([cell for cell, _ in members], [files[step] for _, files in members if files]))
    return groups


def _tell_lost_rows(cell: Cell, step: int) -> None:
    """Warns where the training curve has lost rows that were written before the checkpoint of a step."""
    every, last = cell.config.trainer.log_every_n_steps, cell.config.trainer.max_steps
    logged = step if step == last else step // every * every
    reached = max((row["step"] for row in read_curve(cell.folder.curve)), default=0)
    if reached < logged:
        has = f"ends at step {reached:.0f}" if reached else "has no rows"
        screen.print_warning(f"{cell.folder.curve} {has}, the checkpoint is of step {step}: rows before it are lost")


def _identity(cell: Cell) -> Identity:
    """What a cell's checkpoint must say of itself: its `config.yaml` holds what decides its result."""
    return Identity(config_hash(read_config(cell.folder)["result_settings"]), cell.config.seed)


def _train(cells: Sequence[Cell], resume_from: Sequence[Path]) -> list[Results]:
    """Trains cells that are at the same step; the results of each."""
    config = cells[0].config
    commit_before, threads = commit(), config.trainer.threads or cores()
    start = datetime.now().astimezone().isoformat(timespec="seconds")
    set_up_process(config, threads)
    if config.optimizer.get("lr") == 0 and config.trainer.max_steps:
        screen.print_warning("optimizer.lr=0: nothing is learned; bottleneck=untrained is the row for such a model")
    parts = [_build_part(cell, threads) for cell in cells]
    if not resume_from:
        for part in parts:
            start_from_data(part.model, part.data)
    members = [Member(part.model, part.cell.config.seed, part.trackers) for part in parts]
    module = TrainingModule(members, build_optimizer(config), config.trainer.log_every_n_steps)
    # Lightning would do so only after it has loaded a checkpoint, whose float64 weights it would round to float32.
    module.to(weights_dtype(config))
    checkpoint = ResumeCheckpoint(
        cells[0].folder.checkpoint,
        config.trainer.checkpoint_after_s,
        config.trainer.checkpoint_every_s,
        config.trainer.checkpoint_time_fraction,
        where=lambda: f"{label(cells)}, step {trainer.global_step}, {cells[0].folder.path}",
    )
    files = RunCheckpoints(
        [(Generations(cell.folder.checkpoint), _identity(cell)) for cell in cells],
        [part.model for part in parts],
        lambda: [s for s, member in enumerate(members) if member.failure is None],
        resume_from,
    )
    probes = ProbesAtEnd(parts, checkpoint.where)
    callbacks = {name: instantiate(each, _convert_="all") for name, each in config.trainer.callbacks.items()}
    trackers = [tracker for part in parts for tracker in part.trackers]
    info = parts[0].data.arrays.info
    trainer = build_trainer(cells, info, trackers, [*callbacks.values()], [checkpoint, probes], files)
    if replays_steps(config, trainer, parts[0].model):
        module.capture = capture_cuda_graph
        module.must_replay = config.trainer.cuda_graph is True
    data = parts[0].data if len(parts) == 1 else ReplicaData([part.data for part in parts])
    with _explained(module, checkpoint, resume_from, callbacks), stop.noted(checkpoint.where):
        trainer.fit(module, data, ckpt_path=resume_from[0] if resume_from else None, weights_only=True)
    session = Session(commit_before, start, threads, trainer, checkpoint, len(cells))
    return [_finish(part, members[s].failure or probes.results.get(s, {}), session) for s, part in enumerate(parts)]


@contextmanager
def _explained(
    module: TrainingModule,
    checkpoint: ResumeCheckpoint,
    resume_from: Sequence[Path],
    callbacks: Mapping[str, L.Callback],
) -> Iterator[None]:
    """Says of an error in training where it comes from. What has ended every member is no error: each has its failure.

    Args:
        module: that is trained.
        checkpoint: knows whether all of a checkpoint has been loaded.
        resume_from: the checkpoints to go on from.
        callbacks: those that the configuration names, by name.

    Raises:
        DamagedFileError: for an error in loading the checkpoint.
        ConfigError: for an error of a callback, naming its key; the traceback goes with it into `failure.json`.
    """
    try:
        yield
    except NonFiniteLossError:
        if module.alive:
            raise
    except Exception as error:
        if resume_from and not checkpoint.began and isinstance(error, LookupError | TypeError | AttributeError):
            reason = f"training cannot go on from it: {printable(str(error))[:200] or type(error).__name__}"
            raise DamagedFileError(resume_from[0], reason) from error
        asked = [id(frame.f_locals.get("self")) for frame, _ in walk_tb(error.__traceback__)]
        for name, callback in callbacks.items():
            if id(callback) in asked and not isinstance(error, OSError):  # that of a disk, whoever writes there
                raise ConfigError([f"trainer.callbacks.{name}: {type(error).__name__}: {first_line(error)}"]) from error
        raise


def _build_part(cell: Cell, threads: int) -> _Part:
    config = cell.config
    data = checked(lambda: build_data(config))
    data.setup()
    info = data.arrays.info
    model = build_model(config, info.image_shape, info.pixel_variance, info.classes)
    probes = build_probes(config, label([cell]), cell.folder.figures, cell.folder.latents, threads)
    return _Part(cell, data, model, probes, build_trackers(config, cell.folder))


def _finish(part: _Part, found: Results, session: Session) -> Results:
    """Hands a member's results to its trackers and writes `metrics.json`; an exception is returned as it is."""
    if isinstance(found, Exception):
        for tracker in part.trackers:
            tracker.finalize("failed")
        return found
    folder = part.cell.folder
    parameters = sum(parameter.numel() for parameter in part.model.parameters())
    metrics = describe(part.cell, part.data, parameters, found, session)
    for tracker in part.trackers:
        tracker.finish(metrics, folder)
    if not RANK:
        # Last: a run that is killed before this line hands over its results again.
        write_json(folder.metrics, sealed(with_curve(metrics, folder.curve)))
    return metrics
