"""A run as the report knows it: what was run, what came of it, what was measured of it later."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FINISHED, STOPPED_EARLY, FAILED, UNFINISHED = "finished", "stopped_early", "failed", "unfinished"
OWN_SETTINGS = ("bottleneck.", "penalty_weight")  # of one bottleneck


@dataclass(frozen=True)
class Departures:
    """How settings differ from the default of their bottleneck, data, fidelity and protocol.

    Attributes:
        shared: what could hold for every model (steps, network, probes): key, the run's value, the default's, as text.
        own: the same for what belongs to one bottleneck.
        unrecorded: today's settings that the run does not know; it is older than they are.
        known: False where nothing tells the defaults; the rest is empty then.
    """

    shared: tuple[tuple[str, str, str], ...] = ()
    own: tuple[tuple[str, str, str], ...] = ()
    unrecorded: tuple[str, ...] = ()
    known: bool = True

    @classmethod
    def of(cls, leaves: Iterable[tuple[str, str, str]], unrecorded: Iterable[str] = ()) -> "Departures":
        """Sorts leaves into those of one bottleneck and the rest."""
        leaves = sorted(leaves)
        return cls(
            shared=tuple(leaf for leaf in leaves if not leaf[0].startswith(OWN_SETTINGS)),
            own=tuple(leaf for leaf in leaves if leaf[0].startswith(OWN_SETTINGS)),
            unrecorded=tuple(sorted(unrecorded)),
        )

    @property
    def all(self) -> tuple[tuple[str, str, str], ...]:
        """Both, the shared ones first."""
        return (*self.shared, *self.own)


@dataclass(frozen=True)
class Evaluation:
    """What `softvq evaluate` measured of a finished run.

    Attributes:
        file: its name below the run's `evaluations`.
        data: what was probed; not always what was trained on.
        seed: of the probes.
        settings_hash: of the protocol's settings, those that decide numbers.
        values: as those of a `Run`.
    """

    file: str
    protocol: str
    tap: str
    data: str
    seed: int
    settings_hash: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """A run whose configuration is known: what decided its result, the result where there is one, and its origin.

    Attributes:
        folder: its name among all that were read.
        path: None where the run is known from a table alone.
        status: `finished`, `stopped_early`, `failed` or `unfinished`.
        data: the data's name; `mnist (arrays)` where one's own data took the name of a known set.
        protocol, tap: of the probes.
        steps: trained; those of a failed run until it failed.
        values: the probes' fractions of 1, and test_normalized_mse where something was trained.
        choices: the option of each configuration group.
        settings: what decides the result, without the seed.
        settings_hash: of these; 20 and 20.0 are the same setting.
        reason: why there is no result, or why training stopped early.
        collapsed: what the health panel calls collapsed, and what usually helps.
        departures: where they are known already; else the default configurations tell them.
        metrics, config: all that the two files hold; empty where the run is known from a table alone.
        problems: of its evaluations.
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
