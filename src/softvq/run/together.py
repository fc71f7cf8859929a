"""Trains cells that differ in their seeds alone at once; each gets its ordinary run folder."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from softvq.data.module import ReplicaData
from softvq.run.build import build_checkpoint, build_data, build_model, build_probes, build_trackers, checked, run
from softvq.run.cell import Cell
from softvq.run.train import Trained, build_trainer, describe, fit, set_up
from softvq.run_folder import DamagedFileError, write_json
from softvq.training.checkpoint import MemberFiles, read_checkpoint
from softvq.training.module import NonFiniteLossError
from softvq.training.replicas import Replicas

Finish = Callable[[], dict[str, Any]]


def run_together(cells: Sequence[Cell]) -> Iterator[tuple[Cell, Finish]]:
    """Trains the cells, as many at once as stopped at the same step.

    Yields:
        Each cell and what completes it: probes it, and writes and returns its metrics, or raises what ended its
        training. A cell that is by itself is also trained by that.
    """
    for group in _by_step(cells):
        if len(group) == 1:
            yield group[0], partial(run, group[0].config, group[0].folder, group[0].choices)
            continue
        try:
            ends = _train(group)
        except Exception as error:
            ends = [partial(_fail, error)] * len(group)
        yield from zip(group, ends, strict=True)


def _fail(error: Exception) -> dict[str, Any]:
    raise error


def _by_step(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells that are at the same step; one whose checkpoint cannot be read is by itself."""
    groups: dict[Any, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(_step(cell), []).append(cell)
    return list(groups.values())


def _step(cell: Cell) -> Any:
    if not cell.folder.checkpoint.exists():
        return 0
    try:
        return read_checkpoint(cell.folder.checkpoint)["global_step"]
    except DamagedFileError:  # a run of the cell by itself tells of it
        return cell.folder.path


def _train(cells: Sequence[Cell]) -> list[Finish]:
    """Trains cells that are at the same step; what completes each."""
    config, choices = cells[0].config, cells[0].choices
    process = set_up(config)
    data = [checked(partial(build_data, cell.config)) for cell in cells]
    for part in data:
        part.setup()
    info = data[0].arrays.info
    models = [build_model(cell.config, info.image_shape, info.pixel_variance) for cell in cells]
    probes = [build_probes(cell.config, cell.folder, process.threads) for cell in cells]
    for check, model, part in zip(probes, models, data, strict=True):
        check.check(model, part)
    trackers = [build_trackers(cell.config, cell.folder) for cell in cells]
    replicas = Replicas(models, trackers)
    checkpoint = build_checkpoint(config, cells[0].folder)
    seeds = ", ".join(str(cell.config.seed) for cell in cells)
    trainer = build_trainer(
        config,
        cells[0].folder,
        f"{choices['bottleneck']} on {config.data.name}, seeds {seeds}",
        [tracker for own in trackers for tracker in own],
        [checkpoint],
        MemberFiles([cell.folder.checkpoint for cell in cells], lambda: replicas.alive),
    )
    try:
        fit(trainer, replicas, ReplicaData(data), config, checkpoint)
    except NonFiniteLossError:
        if replicas.alive:
            raise
    trained = Trained(process, trainer, checkpoint, together=len(cells))

    def finish(s: int) -> dict[str, Any]:
        if s in replicas.failures:
            raise replicas.failures[s]
        cell = cells[s]
        model = replicas.member(s).to(trainer.strategy.root_device)
        try:
            probed = probes[s].run(model, data[s], trained=True)
        except Exception:
            for tracker in trackers[s]:
                tracker.finalize("failed")
            raise
        model.cpu()  # the next one's memory
        metrics = describe(cell.config, cell.choices, data[s], probed, trained)
        for tracker in trackers[s]:
            tracker.finish(metrics, cell.folder)
        write_json(cell.folder.metrics, metrics)  # last, as in a run alone
        return metrics

    return [partial(finish, s) for s in range(len(cells))]
