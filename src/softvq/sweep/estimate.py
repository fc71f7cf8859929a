"""How long cells are going to take, from finished runs of the same kind; where there are none, that is not known."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from omegaconf import OmegaConf

from softvq.bounded_files import read_json, read_yaml
from softvq.config.compose import built_network
from softvq.run.cell import Cell
from softvq.run_folder import RunFolder

MOST_RUNS = 300  # that are looked at, the newest first

Kind = tuple[str, ...]


@dataclass(frozen=True)
class PastRuns:
    """The speeds of finished runs.

    Attributes:
        steps_per_s: training steps per second, by kind of training and by how many seeds were trained at once.
        probe_s: seconds of probing, by kind of probing.
    """

    steps_per_s: Mapping[tuple[Kind, int], float]
    probe_s: Mapping[Kind, float]

    def seconds(self, cell: Cell, at_once: int) -> float | None:
        """Seconds that a cell's part of a job takes; None where no finished run tells.

        Args:
            cell: that is to run.
            at_once: how many seeds the job trains together, all of which share its time.
        """
        settings: Any = OmegaConf.to_container(cell.config, resolve=True)
        about = (settings, built_network(cell.config, cell.choices["network"]), settings["data"]["name"])
        probing = self.probe_s.get(_probing(*about))
        steps = settings["trainer"]["max_steps"]
        if not steps:
            return probing
        training = _training(*about)
        alone = self.steps_per_s.get((training, 1))
        speed = self.steps_per_s.get((training, at_once)) or (alone / at_once if alone else None)
        return None if speed is None else steps / speed / at_once + (probing or 0.0)


def past_runs(folders: Iterable[Path]) -> PastRuns:
    """Reads the finished runs beside some run folders: those of the same experiment and data."""
    speeds: dict[tuple[Kind, int], list[float]] = {}
    probes: dict[Kind, list[float]] = {}
    for file in _newest(folders):
        try:
            metrics, settings = read_json(file), read_yaml(RunFolder(file.parent).config)
            data, network, time = metrics["data"], metrics["provenance"]["network"], metrics["time"]
            at_once = int(metrics["provenance"].get("seeds_at_once", 1))
            speed, probe_s = time["steps_per_s"], time["probe_s"]
            training, probing = _training(settings, network, data), _probing(settings, network, data)
        except Exception:  # a file that no run wrote, or not this version, tells nothing; it must not end the planning
            continue
        if isinstance(speed, float) and speed > 0:
            speeds.setdefault((training, at_once), []).append(speed)
        if isinstance(probe_s, float):
            probes.setdefault(probing, []).append(probe_s)
    return PastRuns(
        {kind: median(values) for kind, values in speeds.items()},
        {kind: median(values) for kind, values in probes.items()},
    )


def _newest(folders: Iterable[Path]) -> list[Path]:
    """The newest `metrics.json` beside the folders, which lie at EXPERIMENT/DATA/BOTTLENECK/NAME."""
    found: dict[Path, float] = {}
    for place in {folder.parents[1] for folder in folders if len(folder.parents) > 1}:
        for file in place.glob("*/*/metrics.json"):
            try:
                found[file] = file.stat().st_mtime
            except OSError:
                continue
    return sorted(found, key=lambda file: found[file], reverse=True)[:MOST_RUNS]


def _training(settings: Mapping[str, Any], network: str, data: str) -> Kind:
    """What decides how fast a step of training is."""
    trainer = settings["trainer"]
    kind = (trainer["threads"], trainer["accelerator"], trainer["precision"])
    return _texts(network, data, settings["data"]["batch_size"], *kind)


def _probing(settings: Mapping[str, Any], network: str, data: str) -> Kind:
    """What decides how long the probes take."""
    probes = json.dumps(settings["probes"], sort_keys=True)
    return _texts(network, data, settings["network"].get("d"), settings["trainer"]["threads"], probes)


def _texts(*values: Any) -> Kind:
    return tuple(str(value) for value in values)
