"""Does what is missing of one or several cells, under their folders' locks."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from softvq.console import screen
from softvq.data.dataset import DatasetInfo
from softvq.data.prepared import prepare, prepared_info
from softvq.durable_files import write_json, write_text
from softvq.locks import locked
from softvq.run.cell import Cell, ChangedConfigError, Outcome
from softvq.run_folder import RunFolder


def complete(cells: Sequence[Cell]) -> list[Outcome]:
    """Trains, probes and records each cell, or as much of that as is missing.

    What goes wrong with a cell is in its outcome and in its `failure.json`; the others go on.

    Args:
        cells: one, or several that differ in their seeds alone and are trained at once.
    """
    outcomes: dict[Path, Outcome] = {}
    with ExitStack() as locks:
        missing = []
        for cell in sorted(cells, key=lambda cell: cell.folder.path):  # no two jobs wait for each other
            try:
                skipped = _skipped(cell, prepared_info(cell.source(), cell.config.data.root))
                if not skipped:
                    locks.enter_context(_locked(cell.folder))
                    info = prepare(cell.source(), cell.config.data.root).info
                    skipped = _skipped(cell, info)  # another process may have finished it meanwhile
                if not skipped:
                    _begin(cell, info)
            except Exception as error:
                skipped = record_failure(cell.folder, error)
            if skipped:
                outcomes[cell.folder.path] = skipped
            else:
                missing.append(cell)
        if missing:
            with screen.logged(*(cell.folder.log for cell in missing)):
                outcomes |= {cell.folder.path: outcome for cell, outcome in _run(missing)}
    return [outcomes[cell.folder.path] for cell in cells]


def _run(cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
    from softvq.run.train import train  # imports torch, which skipping a finished cell does not need

    for cell, metrics in train(cells):
        with screen.logged_alone(cell.folder.log):
            if isinstance(metrics, Exception):
                yield cell, record_failure(cell.folder, metrics)
            else:
                yield cell, _record_success(cell.folder, metrics)


def _record_success(folder: RunFolder, metrics: dict[str, Any]) -> Outcome:
    folder.failure.unlink(missing_ok=True)
    from softvq.run.summary import result_table

    screen.print(result_table(metrics))
    if metrics["status"] == "stopped_early":
        screen.print_warning(f"{metrics['stopped_by']} stopped the training early: {folder.metrics} says so")
    screen.print(f"results: {folder.path}")
    return Outcome("finished", str(folder.path))


def record_failure(folder: RunFolder, error: Exception) -> Outcome:
    """Writes what went wrong to `failure.json`, shows it, and returns it as an outcome."""
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, ValueError):
        error = error.__cause__  # the error itself, without Hydra's around it
    frames = traceback.extract_tb(error.__traceback__)
    lines = traceback.format_exception(error)
    others = isinstance(error, ChangedConfigError) or folder.metrics.exists() or folder.foreign_files()
    if not others:  # it is this run's folder
        content = {
            "error": type(error).__name__,
            "message": str(error),
            "step": getattr(error, "step", None),
            "where": f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None,
            "traceback": lines,
        }
        with suppress(OSError):  # perhaps the run failed because nothing can be written there
            write_json(folder.failure, content)
    screen.note("".join(lines))
    expected = isinstance(error, ValueError | OSError) or hasattr(error, "step")
    screen.print_error(str(error) if expected else "".join(lines))
    return Outcome("failed", str(folder.path), f"{type(error).__name__}: {error}")


def _locked(folder: RunFolder) -> AbstractContextManager[None]:
    """Holds a folder's lock; waits for as long as another process holds it."""
    folder.check_own()
    folder.make()
    return locked(
        folder.lock,
        "choose a folder on a local disk (hydra.run.dir=PATH, of a sweep hydra.sweep.dir=PATH)",
        lambda: screen.print(f"waiting: another process is at {folder.path}"),
    )


def _skipped(cell: Cell, info: DatasetInfo | None) -> Outcome | None:
    """The outcome of a cell that is finished; nothing is written, so that it may lie on a read-only disk."""
    if info is None or cell.state(cell.settings(info)) != "finished":
        return None
    screen.print(f"skipped: {cell.folder.path} is finished; resume=never runs it again")
    return Outcome("skipped", str(cell.folder.path))


def _begin(cell: Cell, info: DatasetInfo) -> None:
    """Makes a cell's folder ready for its run."""
    config, folder, settings = cell.config, cell.folder, cell.settings(info)
    folder.remove_partial()
    if config.resume == "never" or not any(folder.checkpoints.glob("*.ckpt")):
        folder.start_over()  # nothing of a run that ended before its first checkpoint stays beside the new one
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)
    written = {**resolved, "choices": cell.choices, "image_shape": info.image_shape, "result_settings": settings}
    write_text(folder.config, OmegaConf.to_yaml(OmegaConf.create(written)))
