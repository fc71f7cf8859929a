"""Every bottleneck's gradients reach what they should, and nothing else.

What does not hold for a method by its nature is in tests/support/zoo.py: `ACROSS_IMAGES`, `LABELLED` and `ORDERED`.
"""

from copy import deepcopy

import golden
import torch
import zoo
from conformance import (
    every,
)
from golden import TorchCoder, a_world
from zoo import draw, make


@every
def test_gradients_into_every_head_and_parameter_are_finite_and_not_all_zero(name):
    bottleneck = make(name)
    coder, x = TorchCoder(a_world(bottleneck)), torch.rand(golden.B, *golden.SHAPE).double()
    labels = torch.randint(golden.CLASSES, (golden.B,)) if bottleneck.learns_from_labels else None
    bottleneck.objective(coder, x, draw(bottleneck, golden.B, positions=golden.M), labels).loss.backward()
    for key, trained in [*coder.offsets.items(), *bottleneck.named_parameters()]:
        assert torch.isfinite(trained.grad).all(), key
        assert trained.grad.any(), key
    assert all(value.grad is None and not value.requires_grad for value in bottleneck.buffers())


@every
def test_only_methods_that_say_so_learn_from_labels(name):
    net = zoo.model(name)
    noise = zoo.noise_of(net, 0)
    losses = [deepcopy(net).loss(zoo.images(), noise, zoo.labels(seed=seed))[0]["loss"] for seed in (1, 2)]
    assert torch.equal(*losses) != net.bottleneck.learns_from_labels
    assert net.bottleneck.learns_from_labels == (name in zoo.LABELLED)
