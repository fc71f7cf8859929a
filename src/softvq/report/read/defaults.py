"""What a run's settings are beside those that `conf/` gives the same choices today."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from softvq.config.identity import result_settings
from softvq.report.read.collect import Run

NAME = re.compile(r"[\w.-]+")
CHOSEN_GROUPS = ("network", "reconstruction", "optimizer", "trainer")  # beyond data, bottleneck, fidelity and probes
LEFT_TO_THE_DATA = ("data.pixel_offset", "data.output_activation")  # one's own data have no default of these
OWN = ("bottleneck.", "penalty_weight")  # settings of one bottleneck


@dataclass(frozen=True)
class Departures:
    """How settings differ from the default of their bottleneck, data, fidelity and protocol.

    `shared` could hold for every model (steps, network, probes), `own` belongs to one bottleneck; both map a key to the
    run's value and the default's, as text. `unrecorded` are today's settings that the run does not know: it is older.
    """

    shared: tuple[tuple[str, str, str], ...] = ()
    own: tuple[tuple[str, str, str], ...] = ()
    unrecorded: tuple[str, ...] = ()


class Defaults:
    """Composes default configurations from the folder `conf`.

    Raises:
        FileNotFoundError: if the folder holds no train.yaml.
    """

    def __init__(self, conf: Path) -> None:
        if not (conf / "train.yaml").is_file():
            raise FileNotFoundError(f"there is no train.yaml in {conf}; name the configuration's folder with --conf")
        self.conf = conf.resolve()

    def departures(self, run: Run) -> Departures:
        """What sets a run apart from the default of its choices."""
        try:
            choices, default = self._default(run)
            found, unrecorded = _compare(default, run)
        except (HydraException, OmegaConfBaseException, KeyError, ValueError):
            return Departures(own=(("settings", run.settings_hash, "unknown: conf/ cannot compose these choices"),))
        return Departures(
            shared=(*choices, *(leaf for leaf in found if not leaf[0].startswith(OWN))),
            own=tuple(leaf for leaf in found if leaf[0].startswith(OWN)),
            unrecorded=tuple(unrecorded),
        )

    def _default(self, run: Run) -> tuple[list[tuple[str, str, str]], DictConfig]:
        groups = [f"{group}={_name(run.choices[group])}" for group in ("bottleneck", "data", "fidelity", "probes")]
        usual = self._compose(*groups).hydra.runtime.choices
        other = [
            (group, _name(run.choices[group]), str(usual[group]))
            for group in CHOSEN_GROUPS
            if run.choices.get(group, usual[group]) != usual[group]
        ]
        config = self._compose(*groups, *(f"{group}={mine}" for group, mine, _ in other))
        # `auto` stands for what one's own data asks for: no departure
        return [(group, mine, default) for group, mine, default in other if default != "auto"], config

    def _compose(self, *overrides: str) -> DictConfig:
        return _composed(self.conf, overrides)


@cache
def _composed(conf: Path, overrides: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(str(conf), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=True)


def _name(choice: Any) -> str:
    """A choice that can be an override."""
    if not NAME.fullmatch(str(choice)):
        raise ValueError(f"{choice!r} names no configuration")
    return str(choice)


def _compare(default: DictConfig, run: Run) -> tuple[list[tuple[str, str, str]], list[str]]:
    """The run's leaves that differ, those that follow from others left out; and the default's that it does not have."""
    mine = _leaves(run.settings)
    default = default.copy()
    for key in LEFT_TO_THE_DATA:
        if OmegaConf.select(default, key) is None:
            OmegaConf.update(default, key, mine[key])
    theirs = _leaves(_settings(default))

    def differing() -> list[tuple[str, str, str]]:
        keys = (key for key in mine if mine[key] != theirs.get(key))
        return [(key, _text(mine[key]), _text(theirs.get(key))) for key in keys]

    causes = [leaf for leaf in differing() if not _interpolated(default, leaf[0])]
    if causes:
        config = default.copy()
        for key, _, _ in causes:
            OmegaConf.update(config, key, mine[key], force_add=True)
        theirs = _leaves(_settings(config))
    unrecorded = sorted(key for key in theirs if key not in mine and not any(m.startswith(f"{key}.") for m in mine))
    return sorted([*causes, *differing()]), unrecorded


def _settings(config: DictConfig) -> dict[str, Any]:
    """What decides the result, the data's identity and the seed left out."""
    plain: dict[str, Any] = {
        key: OmegaConf.to_container(config[key], resolve=True) if OmegaConf.is_config(config[key]) else config[key]
        for key in map(str, config)
        if key not in ("hydra", "data")
    }
    data = config.data
    known = [key for key in data if not OmegaConf.is_missing(data, key) and key not in ("source", "module")]
    plain["data"] = {key: data[key] for key in known}
    settings = result_settings(plain, "")
    del settings["seed"]
    return settings


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys; an empty mapping has none. The data's name and checksum are no settings."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{prefix}{key}.")
        elif f"{prefix}{key}" not in ("data.name", "data.sha256"):
            found[f"{prefix}{key}"] = value
    return found


def _interpolated(config: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and leaf in node and OmegaConf.is_interpolation(node, leaf)


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
