"""What is checked before Hydra makes a run's folder: a refusal leaves nothing behind."""

import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf, RunDir, SweepDir
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from softvq.command.program import plain_errors
from softvq.config.compose import without_hydra
from softvq.config.overrides import key_of, refused_list
from softvq.config.schema import kind_of
from softvq.config.settings import check_settings
from softvq.console import screen

RECORDED = ("hydra.output_subdir",)
OF_SWEEPS = ("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweep", "hydra.sweeper")


class Checks(Callback):
    """Refuses settings that do not fit, and settings that would have no effect in a single run or in a sweep."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks a single run as a whole."""
        with _refusing():
            _refuse_unheeded(config, OF_SWEEPS, "is for sweeps, and this is a single run; add -m, or drop it")
            _check_typed(config)
            _refuse_unheeded(config, RECORDED, "would put Hydra's files among a run's, which records itself; drop it")
            note = _of_sweep(config)
            _check_run(config)
            if note:
                screen.print_warning(note)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks what the cells of a sweep share; the sweep's plan checks the cells."""
        with _refusing():
            why = "is for a single run; the folder of a sweep is hydra.sweep.dir=PATH"
            _refuse_unheeded(config, ("hydra.run",), why)
            _refuse_unheeded(config, RECORDED, "would put Hydra's files among a run's, which records itself; drop it")
            _check_typed(config)
            _check_place(Path(config.hydra.sweep.dir))


@contextmanager
def _refusing() -> Iterator[None]:
    """Ends the program where something is refused; Hydra would go on after what a callback raises, with a warning."""
    try:
        with plain_errors():
            yield
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None


def _typed(config: DictConfig) -> list[str]:
    return [*config.hydra.overrides.hydra, *config.hydra.overrides.task]


def _refuse_unheeded(config: DictConfig, parts: tuple[str, ...], why: str) -> None:
    for override in _typed(config):
        key = key_of(override)
        if any(key == part or key.startswith(f"{part}.") for part in parts):
            raise ValueError(f"{override} {why}")


def _of_sweep(config: DictConfig) -> str:
    """What to say of an experiment without -m, unless the command says which of its cells is meant.

    Raises:
        ValueError: if the experiment is a search, of which no cell is known beforehand.
    """
    sweeper = config.hydra.sweeper
    swept = [str(key) for key in sweeper.get("params") or {}]
    typed = set(map(key_of, _typed(config)))
    if not swept or typed.intersection(swept):
        return ""
    name, over = f"experiment={config.hydra.runtime.choices.get('experiment')}", ", ".join(swept)
    if "trials" in sweeper:
        raise ValueError(f"{name} is a search over {over}, and this is a single run; add -m, or set one of them")
    return f"{name} is a sweep over {over}, and this is one run of it; add -m for all of them"


def _check_typed(config: DictConfig) -> None:
    """Checks the choices that were typed, and the settings under `hydra`; its others are its own, or follow the run."""
    for override in _typed(config):
        if why := refused_list(override):
            raise ValueError(why)
        key = key_of(override)
        if override.startswith("+") and _is_unknown(key):
            raise ValueError(f"{override}: Hydra has no {key}; drop it")
        if key == "hydra.searchpath":
            _check_searchpath(config.hydra.searchpath)
        kind = kind_of(key) if key.startswith("hydra.") else None
        if kind is not None:
            kind.refuse(key, OmegaConf.select(config, key))


def _check_place(folder: Path) -> None:
    """Refuses a folder of a sweep below what is none; each of its cells would fail by itself."""
    there = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    if os.path.lexists(there) and not there.is_dir():
        raise ValueError(f"hydra.sweep.dir={folder}: {there} is no folder; choose another one")


def _check_searchpath(paths: Sequence[str]) -> None:
    for path in paths:
        if "://" not in path.removeprefix("file://") and not Path(path.removeprefix("file://")).is_dir():
            raise ValueError(f"hydra.searchpath: there is no folder {path}; name the folder of your own configurations")


def _is_unknown(key: str) -> bool:
    """Whether a key under `hydra`, which a leading + adds, is none of Hydra's own."""
    group, _, rest = key.removeprefix("hydra.").partition(".")
    parts: dict[str, Any] = {"run": RunDir, "sweep": SweepDir}
    known = HydraConf.__dataclass_fields__
    return key.startswith("hydra.") and (group not in known or (group in parts and not hasattr(parts[group], rest)))


def _check_run(composed: DictConfig) -> None:
    from softvq.data.prepared import prepare, prepared_info
    from softvq.run.cell import read_cell

    config = without_hydra(composed)
    check_settings(config)  # before the folder's name is made of them
    cell = read_cell(config, composed.hydra, composed.hydra.run.dir, None)
    info = prepared_info(cell.source(), cell.config.data.root)
    if info is not None and cell.state(cell.settings(info)) == "finished":
        return  # which needs no torch
    from softvq.run.check import check_cell

    check_cell(cell)
    cell.folder.check_own()  # before images are prepared: a refused run leaves nothing behind
    cell.state(cell.settings(prepare(cell.source(), cell.config.data.root).info))
