"""The health panel as a metric over batches, steps and devices."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from softvq.health.panel import panel


class Health(Metric):
    """The panel over batches, steps and devices.

    Args:
        like: `statistics` of any batch of the bottleneck; their names and shapes count, not their values.
    """

    full_state_update = False

    def __init__(self, like: Mapping[str, Tensor], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = tuple(like)
        for name, value in like.items():
            self.add_state(name, torch.zeros_like(value), dist_reduce_fx="sum")

    def update(self, sums: Mapping[str, Tensor]) -> None:
        """Adds a batch's `statistics`."""
        for name in self.names:
            setattr(self, name, getattr(self, name) + sums[name])

    def sums(self) -> dict[str, Tensor]:
        """What has been added up so far."""
        return {name: getattr(self, name) for name in self.names}

    def compute(self) -> dict[str, float | int]:
        return panel(self.sums())
