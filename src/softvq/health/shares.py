"""Shares of a whole, and their entropy."""

import torch
from torch import Tensor


def entropy(weights: Tensor) -> Tensor:
    """Entropy in nats of non-negative weights over the last axis, normalised here; 0 where all of them are 0.

    Shapes: weights (..., K). Returns (...).
    """
    return torch.special.entr(normalised(weights)).sum(-1)


def normalised(weights: Tensor) -> Tensor:
    """Non-negative weights (..., K) over their sum on the last axis; 0 where all of them are 0."""
    return weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
