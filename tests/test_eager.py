"""Updating in backward gives the bits that stepping afterwards gives."""

from typing import Any

import pytest
import torch
from torch import nn

from softvq import eager


def layers() -> nn.Sequential:
    """Large and small parameters, and one that no output depends on."""
    model = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 3))
    model.register_parameter("unused", nn.Parameter(torch.ones(2)))
    return model


def trained(in_backward: bool, resumed: bool = False) -> list[torch.Tensor]:
    """Parameters and Adam's state after a few steps."""
    torch.manual_seed(0)
    model = layers()
    optimizer = make_adam(model)
    update = eager.UpdateInBackward(optimizer) if in_backward else None
    for step in range(6):
        if resumed and step == 3:
            weights, state = model.state_dict(), optimizer.state_dict()
            model = layers()
            model.load_state_dict(weights)
            optimizer = make_adam(model)
            optimizer.load_state_dict(state)
            update = eager.UpdateInBackward(optimizer) if in_backward else None
        model(torch.randn(8, 300)).square().sum().backward()
        if update:
            update.finish()
        else:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    state = [
        optimizer.state[p][key]
        for p in model.parameters()
        if p in optimizer.state
        for key in ("step", "exp_avg", "exp_avg_sq")
    ]
    return [p.detach() for p in model.parameters()] + state


def make_adam(model: nn.Module) -> torch.optim.Adam:
    """Adam with a group of weights and one of biases, whose settings differ."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": weights}, {"params": biases, "lr": 1e-2, "weight_decay": 0.0}]
    return torch.optim.Adam(groups, 3e-4, fused=True, weight_decay=0.01)


def all_equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(map(torch.equal, a, b))


def test_updates_in_backward_are_those_of_a_step_afterwards() -> None:
    assert all_equal(trained(in_backward=True), trained(in_backward=False))


def test_a_resumed_optimizer_goes_on_in_backward() -> None:
    assert all_equal(trained(in_backward=True, resumed=True), trained(in_backward=False, resumed=True))


def test_large_gradients_are_gone_after_backward_and_small_ones_after_its_end() -> None:
    model = nn.Linear(300, 200)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    update = eager.UpdateInBackward(make_adam(model))
    model(torch.randn(8, 300)).sum().backward()
    assert model.weight.grad is None
    assert not torch.equal(model.weight, weight)
    assert torch.equal(model.bias, bias)
    update.finish()
    assert model.bias.grad is None
    assert not torch.equal(model.bias, bias)


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1, "maximize": True}])
def test_a_fused_adam_can_update_in_backward(settings: dict[str, Any]) -> None:
    assert eager.can_update_in_backward(torch.optim.Adam(nn.Linear(2, 2).parameters(), fused=True, **settings))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.AdamW, {"fused": True}),
        (torch.optim.Adam, {"fused": True, "amsgrad": True}),
        (torch.optim.Adam, {"fused": True, "decoupled_weight_decay": True}),
        (torch.optim.Adam, {"fused": False}),
        (torch.optim.SGD, {"fused": True}),
    ],
)
def test_what_computes_otherwise_cannot(kind: type[torch.optim.Optimizer], settings: dict[str, Any]) -> None:
    assert not eager.can_update_in_backward(kind(nn.Linear(2, 2).parameters(), lr=0.1, **settings))  # type: ignore[call-arg]


def test_values_that_backward_reads_after_their_update_are_noticed() -> None:
    weight = nn.Parameter(torch.randn(200, 200))
    eager.UpdateInBackward(torch.optim.Adam([weight], fused=True))
    first = torch.randn(3, 200, requires_grad=True) @ weight.detach()  # its backward comes after that of the product
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        (first @ weight).sum().backward()
