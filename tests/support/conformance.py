"""What the tests that hold for every bottleneck share: which ones they are, changes of a batch, steps of a training."""

import threading
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
import zoo
from torch import Tensor
from zoo import NAMES, TRAINED

from softvq.bottlenecks.base import Bottleneck
from softvq.training.autoencoder import Autoencoder

every = pytest.mark.parametrize("name", NAMES)
every_trained = pytest.mark.parametrize("name", TRAINED)
every_separable = pytest.mark.parametrize("name", [name for name in NAMES if name not in zoo.ACROSS_IMAGES])


def rows(part: slice) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor[part]


def twice(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor])


def forward(bottleneck: Bottleneck, heads: dict[str, Tensor], noise: Any) -> Any:
    """What a copy makes of a batch: the bottleneck's own state stays where it is."""
    return deepcopy(bottleneck)(heads, noise)


def state_of(bottleneck: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in bottleneck.state_dict().items()}


def has_codebook(name: str) -> bool:
    return zoo.in_file(name, "K") is not None


def can_be_permuted(name: str) -> bool:
    """Whether it has a codebook whose order means nothing."""
    of_package = zoo.in_file(name, "options") or {}
    return (has_codebook(name) or "codebook_size" in of_package) and name not in zoo.ORDERED


def optimizer_of(net: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr=1e-3)


def steps(net: Autoencoder, optimizer: torch.optim.Optimizer, which: range, seed: int = 0) -> list[float]:
    losses = []
    for step in which:
        labels = zoo.labels(seed=step) if net.bottleneck.learns_from_labels else None
        noise = zoo.noise_of(net, step, seed=seed)
        loss = net.loss(zoo.images(seed=1000 * seed + step), noise, labels)[0]["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


class TwoProcesses:
    """Stands in for two processes, which are threads that hand each other their parts."""

    def __init__(self) -> None:
        self.barrier, self.parts, self.rank = threading.Barrier(2), [None, None], threading.local()

    def exchanged(self, part: Tensor) -> list[Tensor]:
        self.parts[self.rank.number] = part
        self.barrier.wait()
        parts = list(self.parts)
        self.barrier.wait()
        return parts

    def run(self, work: Callable[[int], Any]) -> list[Any]:
        results: list[Any] = [None, None]

        def of_rank(rank: int) -> None:
            self.rank.number = rank
            try:
                results[rank] = work(rank)
            except BaseException:
                self.barrier.abort()
                raise

        threads = [threading.Thread(target=of_rank, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results
