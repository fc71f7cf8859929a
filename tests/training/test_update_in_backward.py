"""Updating in backward gives the bits that stepping afterwards gives."""

from typing import Any

import pytest
import torch
from torch import nn

from softvq.training import update_in_backward as eager


def layers() -> nn.Sequential:
    """Large and small parameters, and one that no output depends on."""
    model = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 3))
    model.register_parameter("unused", nn.Parameter(torch.ones(2)))
    return model


def trained(in_backward: bool, resumed: bool = False, steps: int = 6) -> list[torch.Tensor]:
    """Parameters and Adam's state after a few steps."""
    torch.manual_seed(0)
    model = layers()
    optimizer = make_adam(model)
    update = eager.UpdateInBackward(optimizer) if in_backward else None
    for step in range(steps):
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
    return [x.dtype for x in a] == [x.dtype for x in b] and all(map(torch.equal, a, b))


def test_updates_in_backward_are_those_of_a_step_afterwards() -> None:
    assert all_equal(trained(in_backward=True), trained(in_backward=False))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_steps_are_counted_alike_in_each_precision(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eager, "LARGE", 1000)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        assert all_equal(trained(in_backward=True, steps=300), trained(in_backward=False, steps=300))
    finally:
        torch.set_default_dtype(before)


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


def test_once_removed_backward_leaves_all_gradients() -> None:
    model = nn.Linear(300, 200)
    weight = model.weight.detach().clone()
    eager.UpdateInBackward(make_adam(model)).remove()
    model(torch.randn(8, 300)).sum().backward()
    assert model.weight.grad is not None
    assert torch.equal(model.weight, weight)


def test_frozen_and_late_parameters_are_updated_from_when_they_train() -> None:
    first, late = nn.Linear(300, 200), nn.Linear(300, 200)
    first.weight.requires_grad_(False)
    optimizer = make_adam(first)
    update = eager.UpdateInBackward(optimizer)
    optimizer.add_param_group({"params": list(late.parameters())})
    first.weight.requires_grad_(True)
    before = [p.detach().clone() for p in (*first.parameters(), *late.parameters())]
    x = torch.randn(8, 300)
    (first(x) + late(x)).sum().backward()
    update.finish()
    for parameter, old in zip((*first.parameters(), *late.parameters()), before, strict=True):
        assert parameter.grad is None
        assert not torch.equal(parameter, old)


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1, "maximize": True}])
def test_a_fused_adam_can_update_in_backward(settings: dict[str, Any]) -> None:
    assert eager.can_update_in_backward(torch.optim.Adam(nn.Linear(2, 2).parameters(), fused=True, **settings))


def test_a_group_of_amsgrad_among_others_cannot() -> None:
    groups = [{"params": [nn.Parameter(torch.ones(2))]}, {"params": [nn.Parameter(torch.ones(2))], "amsgrad": True}]
    assert not eager.can_update_in_backward(torch.optim.Adam(groups, fused=True))


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
