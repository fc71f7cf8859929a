"""Updating in backward gives the bits that stepping afterwards gives."""

import torch
from torch import nn

from softvq import eager


def trained(in_backward: bool, resumed: bool = False) -> list[torch.Tensor]:
    """Parameters and Adam's state after a few steps of a layer of each kind, large and small."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 3))
    optimizer = make_adam(model, in_backward)
    for step in range(6):
        if resumed and step == 3:
            weights, state = model.state_dict(), optimizer.state_dict()
            model = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 3))
            model.load_state_dict(weights)
            optimizer = make_adam(model, in_backward)
            optimizer.load_state_dict(state)
        optimizer.zero_grad(set_to_none=True)
        model(torch.randn(8, 300)).square().sum().backward()
        optimizer.step()
    state = [optimizer.state[p][key] for p in model.parameters() for key in ("step", "exp_avg", "exp_avg_sq")]
    return [p.detach() for p in model.parameters()] + state


def make_adam(model: nn.Module, in_backward: bool) -> torch.optim.Adam:
    optimizer = torch.optim.Adam(model.parameters(), 3e-4, fused=True, weight_decay=0.01)
    if in_backward:
        eager.update_in_backward(optimizer)
    return optimizer


def all_equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, a, b))


def test_updates_in_backward_are_those_of_a_step_afterwards() -> None:
    assert all_equal(trained(in_backward=True), trained(in_backward=False))


def test_a_resumed_optimizer_goes_on_in_backward() -> None:
    assert all_equal(trained(in_backward=True, resumed=True), trained(in_backward=False, resumed=True))


def test_no_gradient_is_left_after_backward() -> None:
    model = nn.Linear(300, 200)
    make_adam(model, in_backward=True)
    model(torch.randn(8, 300)).sum().backward()
    assert model.weight.grad is None
    assert model.bias.grad is None
