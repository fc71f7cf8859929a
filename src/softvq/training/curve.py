"""The training curve of one run: means of its loss terms, and the state of its code, between two rows."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from softvq.health import panel


class NonFiniteLossError(RuntimeError):
    """A loss term that is no finite number; training stops and the last checkpoint, if there is one, stays."""

    def __init__(self, step: int, term: str, value: float) -> None:
        super().__init__(
            f"{term} is {value} at step {step}; lower optimizer.lr or the bottleneck's weights, "
            "and start over with resume=never"
        )
        self.step, self.term = step, term


class Curve:
    """Sums over the steps of a run since the last row of its training curve.

    Args:
        sums: of the terms, by name.
        steps: how many there were.
        statistics: sums over the images of those steps, from which the health panel is made.
    """

    def __init__(
        self, sums: Mapping[str, float] | None = None, steps: int = 0, statistics: Mapping[str, Tensor] | None = None
    ) -> None:
        self.sums, self.steps = dict(sums or {}), steps
        self.statistics = dict(statistics or {})

    def add(self, first_step: int, names: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
        """Adds the terms' values of consecutive steps.

        Raises:
            NonFiniteLossError: for the first term that is no finite number.
        """
        for step, row in enumerate(rows, start=first_step + 1):
            bad = [(name, value) for name, value in zip(names, row, strict=True) if not math.isfinite(value)]
            if bad:  # the first one is the loss itself, the sum of the others
                raise NonFiniteLossError(step, *bad[min(1, len(bad) - 1)])
        if self.sums.keys() != set(names):  # the checkpoint is of another version, whose terms had other names
            known = all(name in self.sums for name in names)
            self.sums, self.steps = ({name: self.sums[name] for name in names}, self.steps) if known else ({}, 0)
        self.steps += len(rows)
        for row in rows:
            for name, value in zip(names, row, strict=True):
                self.sums[name] = self.sums.get(name, 0.0) + value

    def row(self) -> dict[str, float]:
        """The means since the last row, by names like `train/loss`, and the health panel; begins the next row."""
        means = {f"train/{name}": total / self.steps for name, total in self.sums.items()}
        health = {f"train/{name}": float(value) for name, value in panel(self.statistics).items()}
        self.sums, self.steps, self.statistics = {}, 0, {}
        return {**means, **health}
