"""Fixtures that the tests share."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache

import pytest
from omegaconf import DictConfig

from softvq.config.compose import compose


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state, on one thread."""
    import torch  # here: with several workers, the process that hands out the tests needs none of it

    torch.manual_seed(0)
    torch.set_num_threads(1)


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    return compose("train", overrides)


@pytest.fixture(scope="session")
def compose_train() -> Callable[..., DictConfig]:
    """`conf/train.yaml` under the given overrides, as the command line would compose it."""
    return lambda *overrides: deepcopy(_composed(overrides))
