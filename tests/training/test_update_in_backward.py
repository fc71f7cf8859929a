"""Updating in backward gives the bits that stepping afterwards gives."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from softvq.training.update_in_backward import LARGE, UpdateInBackward, can_update_in_backward

Make = Callable[..., Optimizer]
ADAM = partial(Adam, lr=3e-4, fused=True, weight_decay=0.01)
KINDS = {
    "fused Adam": ADAM,
    "Adam": partial(Adam, lr=3e-4, amsgrad=True),
    "AdamW": partial(AdamW, lr=3e-4),
    "SGD": partial(SGD, lr=0.01, momentum=0.9, nesterov=True),
}


def layers() -> nn.Sequential:
    """Large and small parameters, one that no output depends on and one that is frozen."""
    model = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 3))
    model.register_parameter("unused", nn.Parameter(torch.ones(2)))
    model.register_parameter("frozen", nn.Parameter(torch.ones(200, 200), requires_grad=False))
    assert model[0].weight.numel() >= LARGE > model[2].weight.numel()
    return model


def groups_of(model: nn.Module) -> list[dict]:
    """A group of weights and one of biases, whose settings differ."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    return [{"params": weights}, {"params": [p for p in model.parameters() if p.ndim == 1], "lr": 1e-2}]


def trained(make: Make, in_backward: bool, resumed: bool = False, steps: int = 6) -> list[torch.Tensor]:
    """Parameters and the optimiser's state after a few steps."""
    torch.manual_seed(0)
    model = layers()
    optimizer = make(groups_of(model))
    update = UpdateInBackward(optimizer, make, model.parameters()) if in_backward else None
    for step in range(steps):
        if resumed and step == 3:
            weights, state = model.state_dict(), optimizer.state_dict()
            model = layers()
            model.load_state_dict(weights)
            optimizer = make(groups_of(model))
            optimizer.load_state_dict(state)
            update = UpdateInBackward(optimizer, make, model.parameters()) if in_backward else None
        if step == 4:
            optimizer.param_groups[0]["lr"] = 1e-3  # as a schedule does
        optimizer.zero_grad()
        model(torch.randn(8, 300)).square().sum().backward()
        assert (model[0].weight.grad is None) == in_backward
        optimizer.step()
    if update:
        update.remove()
    states = [optimizer.state[p] for p in model.parameters() if p in optimizer.state]
    return [p.detach() for p in model.parameters()] + [
        value for own in states for _, value in sorted(own.items()) if isinstance(value, torch.Tensor)
    ]


def all_equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return [x.dtype for x in a] == [x.dtype for x in b] and all(map(torch.equal, a, b))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("resumed", [False, True])
def test_updates_in_backward_are_those_of_a_step_afterwards(kind: str, resumed: bool) -> None:
    make = KINDS[kind]
    assert can_update_in_backward(make(layers().parameters()))
    assert all_equal(trained(make, True, resumed), trained(make, False, resumed))


def test_large_parameters_are_updated_within_backward_and_small_ones_by_the_step() -> None:
    model = nn.Linear(300, 200)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    optimizer = ADAM(model.parameters())
    UpdateInBackward(optimizer, ADAM, model.parameters())
    model(torch.randn(8, 300)).sum().backward()
    assert model.weight.grad is None
    assert not torch.equal(model.weight, weight)
    assert torch.equal(model.bias, bias)
    weight = model.weight.detach().clone()
    optimizer.step()
    assert torch.equal(model.weight, weight)
    assert not torch.equal(model.bias, bias)


def test_once_removed_backward_leaves_all_gradients() -> None:
    model = nn.Linear(300, 200)
    weight = model.weight.detach().clone()
    UpdateInBackward(ADAM(model.parameters()), ADAM, model.parameters()).remove()
    model(torch.randn(8, 300)).sum().backward()
    assert model.weight.grad is not None
    assert torch.equal(model.weight, weight)


def test_parameters_that_are_thawed_or_added_later_are_updated_by_the_step() -> None:
    first, late = nn.Linear(300, 200), nn.Linear(300, 200)
    first.weight.requires_grad_(False)
    optimizer = ADAM(first.parameters())
    UpdateInBackward(optimizer, ADAM, [*first.parameters(), *late.parameters()])
    optimizer.add_param_group({"params": list(late.parameters())})
    first.weight.requires_grad_(True)
    before = [p.detach().clone() for p in (*first.parameters(), *late.parameters())]
    x = torch.randn(8, 300)
    (first(x) + late(x)).sum().backward()
    optimizer.step()
    for parameter, old in zip((*first.parameters(), *late.parameters()), before, strict=True):
        assert not torch.equal(parameter, old)


@pytest.mark.parametrize(
    "kind", [torch.optim.LBFGS, partial(RMSprop, lr=0.1), partial(type("Own", (Adam,), {}), fused=True)]
)
def test_what_may_look_at_several_parameters_at_once_cannot(kind: Make) -> None:
    assert not can_update_in_backward(kind(nn.Linear(2, 2).parameters()))


def test_values_that_backward_reads_after_their_update_are_noticed() -> None:
    weight = nn.Parameter(torch.randn(200, 200))
    UpdateInBackward(ADAM([weight]), ADAM, [weight])
    first = torch.randn(3, 200, requires_grad=True) @ weight.detach()  # its backward comes after that of the product
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        (first @ weight).sum().backward()
