"""What a probe is, and which labels it can use."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from softvq.probes.codes import Codes
from softvq.probes.progress import Progress


class Probe(Protocol):
    """What a protocol's YAML builds: a measurement of codes.

    Its constructor takes the settings that stand beside its `_target_`.
    """

    def __call__(self, codes: Codes, jobs: int, progress: Progress | None) -> Mapping[str, float]:
        """The numbers that it finds, by the names that they get in `metrics.json` and in trackers.

        Args:
            codes: what is probed.
            jobs: how many threads it may use.
            progress: is told how far it is, in the caller's thread; None for nobody.
        """


def lacking_labels(train: np.ndarray | None, test: np.ndarray | None, classes: int) -> str | None:
    """Why labels cannot serve probes, in words; None if they can.

    Shapes: labels of the probed training and test codes, (N,) and (n,).
    """
    if train is None or test is None:
        return "the data have no labels"
    for part, labels in (("training", train), ("test", test)):
        if len(np.unique(labels)) < 2:
            return f"the {part} codes have a single class"
    if len(test) < classes:
        return f"there are {len(test)} test codes for {classes} classes"
    return None
