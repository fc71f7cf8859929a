"""Random streams that are functions of (seed, purpose, index) alone, whatever was drawn before.

A step's images and noise follow from the run's seed and the step's number, so a resumed run sees what the unbroken one
would have seen. Initial weights alone come from torch's own generator, which `run/build.py` seeds just before it builds
the model.
"""

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What random numbers are for; streams of one seed are independent."""

    SHUFFLE = 0
    NOISE = 1
    SPLIT = 2
    PRIOR = 3


def generator(seed: int, stream: Stream, index: int = 0) -> torch.Generator:
    """A CPU generator at the start of the stream's `index`-th part (an epoch, a step)."""
    state = np.random.SeedSequence((seed, stream, index)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) & (2**63 - 1))
