"""How the settings of a run differ from those that `conf/` gives the same choices today."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from softvq.config.compose import CONF_DIR, compose, without_hydra
from softvq.config.identity import result_settings
from softvq.report.read.fields import as_typed, flat
from softvq.report.read.run import Departures, Run

NAME = re.compile(r"[\w.-]+")
CHOSEN_GROUPS = ("network", "reconstruction", "optimizer", "trainer")  # beyond data, bottleneck, fidelity and probes
LEFT_TO_THE_DATA = ("data.pixel_offset", "data.output_activation")  # these have no default where the data are one's own


class DefaultSettings:
    """Composes default configurations from the package's folder `conf`, and from one's own.

    Args:
        own: further folders, as `./conf` and `--config-dir` of training.

    Raises:
        FileNotFoundError: if one of them does not exist.
    """

    def __init__(self, own: Sequence[Path] = ()) -> None:
        for folder in own:
            if not folder.is_dir():
                raise FileNotFoundError(f"there is no folder of configurations at {folder}")
        self.own = tuple(folder.resolve() for folder in own if folder.resolve() != CONF_DIR.resolve())
        self._known: dict[tuple[str, str], Departures] = {}  # by choices and settings, whatever the seed

    def departures(self, run: Run) -> Departures:
        """How a run differs from the default of its choices; `known` is False where `conf` cannot compose them."""
        if run.departures is not None:
            return run.departures
        key = (repr(run.choices), run.settings_hash)
        if key not in self._known:
            self._known[key] = self._departures(run)
        return self._known[key]

    def _departures(self, run: Run) -> Departures:
        try:
            choices, default = self._default(run)
            found, unrecorded = _compare(default, run)
        except (HydraException, OmegaConfBaseException, KeyError, ValueError):
            return Departures(known=False)
        return Departures.of([*choices, *found], unrecorded)

    def _default(self, run: Run) -> tuple[list[tuple[str, str, str]], DictConfig]:
        groups = [f"{group}={_name(run.choices[group])}" for group in ("bottleneck", "data", "fidelity", "probes")]
        usual = composed(self.own, tuple(groups))[1].runtime.choices
        other = [
            (group, _name(run.choices[group]), str(usual[group]))
            for group in CHOSEN_GROUPS
            if run.choices.get(group, usual[group]) != usual[group]
        ]
        config, _ = composed(self.own, (*groups, *(f"{group}={mine}" for group, mine, _ in other)))
        # `auto` lets one's own data decide, so that the run's value is the default
        return [(group, mine, default) for group, mine, default in other if default != "auto"], config


def own_configurations() -> list[Path]:
    """The folder `conf` of the current folder, which training reads too."""
    return [Path("conf")] if Path("conf").is_dir() else []


@cache
def composed(own: tuple[Path, ...], overrides: tuple[str, ...]) -> tuple[DictConfig, DictConfig]:
    """A composed configuration without its part under `hydra`, and that part."""
    config = compose("train", overrides, own, return_hydra_config=True)
    return without_hydra(config), config.hydra


def _name(choice: Any) -> str:
    """A choice, if it can be written as an override."""
    if not NAME.fullmatch(str(choice)):
        raise ValueError(f"{choice!r} names no configuration")
    return str(choice)


def _compare(default: DictConfig, run: Run) -> tuple[list[tuple[str, str, str]], list[str]]:
    """The run's settings that differ, without those computed from other settings; and the default's that it lacks."""
    mine = leaves(run.settings)
    default = default.copy()
    for key in LEFT_TO_THE_DATA:
        if OmegaConf.select(default, key) is None:
            OmegaConf.update(default, key, mine.get(key))
    if OmegaConf.is_missing(default.data, "image_shape"):  # of one's own data; weights follow from it
        default.data.image_shape = run.config.get("image_shape", "???")
    theirs = leaves(_settings(default))

    def differing() -> list[tuple[str, str, str]]:
        keys = (key for key in mine if mine[key] != theirs.get(key))
        return [(key, as_typed(mine[key]), as_typed(theirs.get(key))) for key in keys]

    causes = [leaf for leaf in differing() if not _interpolated(default, leaf[0])]
    if causes:
        config = default.copy()
        for key, _, _ in causes:
            OmegaConf.update(config, key, mine[key], force_add=True)
        theirs = leaves(_settings(config))
    unrecorded = [key for key in theirs if key not in mine and not any(m.startswith(f"{key}.") for m in mine)]
    return [*causes, *differing()], unrecorded


def _settings(config: DictConfig) -> dict[str, Any]:
    """The settings that decide the result, without the seed, the name and the checksum of the data."""
    plain: dict[str, Any] = {
        key: OmegaConf.to_container(config[key], resolve=True) if OmegaConf.is_config(config[key]) else config[key]
        for key in map(str, config)
        if key != "data"
    }
    data = config.data
    known = [key for key in data if not OmegaConf.is_missing(data, key) and key not in ("source", "module")]
    plain["data"] = {key: data[key] for key in known}
    settings = result_settings(plain, "")
    del settings["seed"]
    return settings


def leaves(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their dotted keys, without the name and the checksum of the data."""
    return {key: value for key, value in flat(settings).items() if key not in ("data.name", "data.sha256")}


def _interpolated(config: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and leaf in node and OmegaConf.is_interpolation(node, leaf)
