"""Several autoencoders that differ in their seeds alone, with stacked weights: a step of all is one batched step."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from softvq.bottlenecks.base import Noise
from softvq.training.autoencoder import Autoencoder, Terms


class _Loss(nn.Module):
    """An autoencoder whose call is its loss, as `functional_call` wants it."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, noise: Noise, labels: Tensor | None) -> tuple[Terms, Terms]:
        return self.model.loss(images, noise, labels)


class StackedAutoencoders(nn.Module):
    """S autoencoders with stacked parameters, (S, ...), each of which trains as it would by itself.

    A step is one vmap of the autoencoder's loss, whose matrix products become batched ones. The members share nothing,
    so the gradient of the sum of their losses is each one's own, and an optimiser that treats every number by itself,
    as Adam does, updates each as it would alone.

    Args:
        members: built as for runs of their own.
    """

    def __init__(self, members: Sequence[Autoencoder]) -> None:
        super().__init__()
        self.stacked = _Loss(_stacked(members))
        variances = [getattr(member.reconstruction, "variance", None) for member in members]
        # Seeds that hold out different validation images have training pixels of different variance.
        several = None if len(set(variances)) == 1 else torch.tensor(variances)
        self.register_buffer("variances", several, persistent=False)
        self.variances: Tensor | None

    def loss(self, images: Tensor, noise: Noise = None, labels: Tensor | None = None) -> tuple[Terms, Terms]:
        """Terms and sums as an autoencoder's, each with a first axis of length S.

        Shapes: images uint8 (S, B, H, W, C); noise as the bottleneck draws it, stacked; labels (S, B).
        """
        weights = {**dict(self.stacked.named_parameters()), **dict(self.stacked.named_buffers())}

        def one(
            weights: dict[str, Tensor], variance: Tensor | None, images: Tensor, noise: Noise, labels: Tensor | None
        ) -> tuple[Terms, Terms]:
            with _variance(self.stacked.model.reconstruction, variance):
                return functional_call(self.stacked, weights, (images, noise, labels))

        given = (weights, self.variances, images, noise, labels)
        return vmap(one, in_dims=tuple(None if part is None else 0 for part in given))(*given)

    def member_weights(self, s: int) -> dict[str, Tensor]:
        """The state dictionary of member s."""
        return {name: weights[s] for name, weights in self.stacked.model.state_dict().items()}


@contextmanager
def _variance(reconstruction: Any, variance: Tensor | None) -> Iterator[None]:
    """Gives a reconstruction loss the variance of one member's training pixels, where there is one for each."""
    if variance is None:
        yield
        return
    before = reconstruction.variance
    reconstruction.variance = variance
    try:
        yield
    finally:
        reconstruction.variance = before


def _stacked(members: Sequence[Autoencoder]) -> Autoencoder:
    """An autoencoder whose parameters and buffers are the members', stacked."""
    model = deepcopy(members[0])
    parameters, buffers = stack_module_state(list(members))
    for name, weights in {**parameters, **buffers}.items():
        owner, _, leaf = name.rpartition(".")
        trained = name in parameters
        value = nn.Parameter(weights.detach(), weights.requires_grad) if trained else weights
        setattr(model.get_submodule(owner), leaf, value)
    return model


def state_of_member(optimizer: Mapping[str, Any], s: int) -> dict[str, Any]:
    """The part of an optimiser's state that belongs to member s.

    Shapes: moments (S, ...) become (...).
    """
    state = {
        index: {key: value[s].clone() if _is_stacked(key, value) else value for key, value in own.items()}
        for index, own in optimizer["state"].items()
    }
    return {**optimizer, "state": state}


def stacked_state(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An optimiser's state for stacked parameters from those of the members.

    Shapes: moments (...) of each of S members become (S, ...).
    """
    states = [member["state"] for member in members]
    stacked = {
        index: {
            key: torch.stack([state[index][key] for state in states]) if _is_stacked(key, value) else value
            for key, value in own.items()
        }
        for index, own in states[0].items()
    }
    return {**members[0], "state": stacked}


def _is_stacked(key: str, value: Any) -> bool:
    """Whether an entry of an optimiser's state has a part for each member; the count of steps is one for all."""
    return isinstance(value, Tensor) and key != "step"
