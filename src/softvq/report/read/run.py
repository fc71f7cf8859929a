"""A run as the report sees it: its settings, its results, and what `softvq evaluate` measured later."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAILED, UNFINISHED = "failed", "unfinished"
OWN_SETTINGS = ("bottleneck.", "penalty_weight")  # keys that belong to a single bottleneck


@dataclass(frozen=True)
class Departures:
    """How settings differ from the default of their bottleneck, data, fidelity and protocol.

    Attributes:
        shared: settings that every model has (steps, network, probes): key, the run's value, the default, as text.
        own: the same for settings of the bottleneck.
        unrecorded: today's settings that the run lacks, as it is older than they are.
        known: False where the defaults cannot be composed; the rest is empty then.
    """

    shared: tuple[tuple[str, str, str], ...] = ()
    own: tuple[tuple[str, str, str], ...] = ()
    unrecorded: tuple[str, ...] = ()
    known: bool = True

    @classmethod
    def of(cls, leaves: Iterable[tuple[str, str, str]], unrecorded: Iterable[str] = ()) -> "Departures":
        """Divides differing settings into those of the bottleneck and the others."""
        leaves = sorted(leaves)
        return cls(
            shared=tuple(leaf for leaf in leaves if not leaf[0].startswith(OWN_SETTINGS)),
            own=tuple(leaf for leaf in leaves if leaf[0].startswith(OWN_SETTINGS)),
            unrecorded=tuple(sorted(unrecorded)),
        )

    @property
    def all(self) -> tuple[tuple[str, str, str], ...]:
        """Shared and own differences, the shared ones first."""
        return (*self.shared, *self.own)


@dataclass(frozen=True)
class Evaluation:
    """What `softvq evaluate` measured of a finished run.

    Attributes:
        file: its name in the run's folder `evaluations`.
        data: the name of the data that were probed, which may be others than the run was trained on.
        seed: of the probes.
        settings_hash: of those settings of the protocol that change its numbers.
        values: numbers by name, as in `Run`.
        settings: those that were hashed, by their dotted keys; empty where the evaluation is known from a table alone.
    """

    file: str
    protocol: str
    tap: str
    data: str
    seed: int
    settings_hash: str
    values: Mapping[str, float]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run whose configuration is known, with its results if it has any.

    Attributes:
        folder: the name by which the report calls it.
        path: of its folder; None for a run that was read from a table.
        status: `finished`, `stopped_early`, `failed` or `unfinished`.
        data: the data's name; `mnist (arrays)` where one's own data took the name of a known set.
        protocol, tap: of the probes.
        steps: optimiser steps that were taken, by a failed run until it failed.
        values: the probes' fractions of 1, and test_normalized_mse where something was trained.
        choices: group of the configuration -> chosen option.
        settings: what decides the result, without the seed.
        settings_hash: hash of `settings`, in which 20 and 20.0 are the same.
        reason: why there is no result, or why training stopped early.
        collapsed: the health panel's warning of a collapsed code, with what usually helps; empty for a sound one.
        departures: from the defaults, as a table records them; None where they are yet to be compared.
        metrics, config: the content of `metrics.json` and `config.yaml`; empty for a run that was read from a table.
        problems: what is wrong with its training curve and with files of its evaluations.
    """

    folder: str
    path: Path | None
    status: str
    data: str
    bottleneck: str
    seed: int
    fidelity: str
    experiment: str
    protocol: str
    tap: str
    steps: int | None
    choices: Mapping[str, Any]
    settings: Mapping[str, Any]
    settings_hash: str
    config_hash: str
    data_sha256: str
    values: Mapping[str, float] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    verified: bool | None = None
    commit: str | None = None
    device: str | None = None
    reason: str = ""
    collapsed: str = ""
    departures: Departures | None = None
    evaluations: tuple[Evaluation, ...] = ()
    problems: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Data, bottleneck and seed."""
        return f"{self.data} / {self.bottleneck} / seed {self.seed}"

    @property
    def figures(self) -> list[Path]:
        """The run's pictures."""
        return sorted((self.path / "figures").glob("*.png")) if self.path else []


def setting(run: Run, key: str) -> Any:
    """A run's value of a dotted key, or its option of a configuration group; None where it has neither.

    Example:
        >>> from types import SimpleNamespace
        >>> run = SimpleNamespace(choices={"network": "mlp"}, settings={"network": {"d": 64}, "penalty_weight": 1.0})
        >>> setting(run, "network.d"), setting(run, "network"), setting(run, "penalty_weight"), setting(run, "trainer")
        (64, 'mlp', 1.0, None)
    """
    value: Any = run.settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return run.choices.get(key) if value is None or isinstance(value, Mapping) else value
