"""Fixtures that the tests share."""

from collections.abc import Callable, Iterator
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


@pytest.fixture
def no_login(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """W&B as on a machine where nobody ever logged in."""
    import wandb

    home = tmp_path_factory.mktemp("home")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    wandb.teardown()
    yield
    wandb.teardown()
