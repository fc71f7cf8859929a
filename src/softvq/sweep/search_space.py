"""What a search is asked: what it chooses from, by which number, and how often."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from softvq.bounded_files import first_line
from softvq.sweep.swept import values_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DIGITS = 4  # of a chosen number, which stands in the name of a folder
GROUPS = ("probes", "reconstruction", "diagnostics")  # of the numbers in metrics.json


@dataclass(frozen=True)
class Settings:
    """What a search is told.

    Attributes:
        trials: how many in all, those of earlier sessions included.
        metric: the number that decides, as GROUP.NAME of `metrics.json`.
        direction: `maximize` or `minimize`.
        seed: of the search.
        at_once: trials at a time; None for as many as the launcher runs.
    """

    trials: int
    metric: str
    direction: str
    seed: int
    at_once: int | None

    def check(self) -> None:
        """Refuses what is no search.

        Raises:
            ValueError: listing the settings that are wrong.
        """
        faults = [
            f"hydra.sweeper.{name} must be a whole number of at least 1, got {value!r}"
            for name, value in (("trials", self.trials), ("at_once", self.at_once or 1))
            if isinstance(value, bool) or not isinstance(value, int) or value < 1
        ]
        if self.direction not in ("maximize", "minimize"):
            faults.append(f"hydra.sweeper.direction must be maximize or minimize, got {self.direction!r}")
        if self.metric.partition(".")[0] not in GROUPS or self.metric.count(".") != 1:
            groups = " or ".join(f"{group}.NAME" for group in GROUPS)
            faults.append(f"hydra.sweeper.metric must be {groups} of metrics.json, got {self.metric!r}")
        if faults:
            raise ValueError("\n  ".join(faults))


@dataclass(frozen=True)
class Space:
    """What a search chooses from.

    Attributes:
        fixed: overrides of every trial.
        searched: setting -> what it may be.
        seeds: of each trial, as overrides; a single empty string for that of the configuration.
    """

    fixed: Sequence[str]
    searched: Mapping[str, "BaseDistribution"]
    seeds: Sequence[str]

    def cells(self, chosen: Mapping[str, Any]) -> list[list[str]]:
        """The cells of a trial: one for each seed."""
        own = [f"{key}={_text(chosen[key])}" for key in self.searched]
        return [[*self.fixed, *own, *([seed] if seed else [])] for seed in self.seeds]


def read_space(overrides: Sequence[Override]) -> Space:
    """What is searched, fixed, and repeated under other seeds; of several overrides of a setting the last counts.

    Raises:
        ValueError: if nothing is searched, or an override names no values that can be.
    """
    fixed, searched, seeds = [], {}, [""]
    for override in {override.get_key_element(): override for override in overrides}.values():
        key = override.get_key_element()
        if key == "seed" and override.is_discrete_sweep():
            seeds = [f"seed={value}" for value in override.sweep_string_iterator()]
        elif override.is_sweep_override():
            try:
                searched[key] = _distribution(override)
            except (ValueError, IndexError) as error:
                why = "it names no value" if isinstance(error, IndexError) else first_line(error)
                raise ValueError(f"{override.input_line} cannot be searched: {why}") from error
        elif not override.is_hydra_override():
            fixed.append(str(override.input_line))
    if not searched:
        raise ValueError(
            "nothing is searched: give a setting several values, as bottleneck.K=choice(8,16,32) or "
            "'bottleneck.sigma_eps=tag(log,interval(0.001,0.1))'"
        )
    return Space(fixed, searched, seeds)


def _distribution(override: Override) -> "BaseDistribution":
    """Optuna's for a swept override: of numbers, or of words among which there is no order."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values: Any = override.value()
    if isinstance(values, IntervalSweep):
        low, high, log = values.start, values.end, "log" in values.tags
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low or 0), float(high or 0), log=log)
    if isinstance(values, RangeSweep) and all(isinstance(v, int) for v in (values.start, values.stop, values.step)):
        steps = range(int(values.start or 0), int(values.stop or 0), int(values.step))
        return IntDistribution(steps[0], steps[-1], step=steps.step)
    return CategoricalDistribution(values_of(override))


def _text(value: Any) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def some_value(values: Any) -> Any:
    """Some value of a distribution, to see what a trial composes."""
    return values.choices[0] if hasattr(values, "choices") else values.low


def described(values: Any) -> dict[str, Any]:
    """A distribution for `search.json`."""
    if hasattr(values, "choices"):
        return {"choices": list(values.choices)}
    return {"low": values.low, "high": values.high, "log": values.log}
