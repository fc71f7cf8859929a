"""Sums over the processes of a training on several devices, each of which sees its part of a batch."""

import torch
from torch import Tensor
from torch import distributed as dist


def several() -> bool:
    """Whether other processes train along."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size()


def all_reduced(part: Tensor) -> Tensor:
    """The sum of every process's tensor."""
    total = part.clone()
    dist.all_reduce(total)
    return total


def all_gathered(part: Tensor) -> Tensor:
    """Every process's tensor, one after the other along the first axis."""
    parts = [torch.empty_like(part) for _ in range(world_size())]
    dist.all_gather(parts, part.contiguous())
    return torch.cat(parts)


def summed(of_part: Tensor) -> Tensor:
    """The sum over the whole batch of what this process computed of its part; without gradient."""
    return all_reduced(of_part.detach()) if several() else of_part.detach()


def averaged(of_part: Tensor) -> Tensor:
    """The mean over the whole batch, of which each process has an equal part; without gradient."""
    return all_reduced(of_part.detach()) / world_size() if several() else of_part.detach()


def gathered(part: Tensor) -> Tensor:
    """The whole batch, of which this process has a part; without gradient."""
    return all_gathered(part.detach()) if several() else part.detach()
