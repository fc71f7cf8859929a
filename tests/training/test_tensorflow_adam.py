"""Adam with TensorFlow's epsilon against its formula, and against torch's where the two agree."""

import math

import pytest
import torch
from torch import nn

from softvq.training.tensorflow_adam import TensorFlowAdam

LR, EPS = 3e-4, 1e-8


def formula(gradients: list[torch.Tensor], start: torch.Tensor) -> torch.Tensor:
    """Kingma & Ba (2015), end of section 2: alpha_t m_t / (sqrt(v_t) + eps), step by step."""
    theta, m, v = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    for t, gradient in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        theta -= LR * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (v.sqrt() + EPS)
    return theta


def trained(optimizer_class, gradients: list[torch.Tensor], start: torch.Tensor) -> torch.Tensor:
    parameter = nn.Parameter(start.clone())
    optimizer = optimizer_class([parameter], lr=LR, eps=EPS, fused=True)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("size", [1e-9, 1e-7, 1.0])
def test_it_is_the_papers_second_form(size: float) -> None:
    start = torch.randn(20, dtype=torch.float64)
    gradients = [size * torch.randn(20, dtype=torch.float64) for _ in range(6)]
    torch.testing.assert_close(trained(TensorFlowAdam, gradients, start), formula(gradients, start), rtol=0, atol=1e-12)


def test_at_the_first_step_its_epsilon_is_32_times_torchs() -> None:
    start, gradient = torch.zeros(1, dtype=torch.float64), torch.full((1,), EPS, dtype=torch.float64)
    # torch's first step is lr g / (g + eps); here eps is divided by sqrt(0.001): 1 / 2 against 1 / 32.6.
    torch.testing.assert_close(trained(torch.optim.Adam, [gradient], start), -LR / 2 * torch.ones_like(start))
    own = trained(TensorFlowAdam, [gradient], start)
    torch.testing.assert_close(own, -LR / (1 + 1000**0.5) * torch.ones_like(start))


def test_large_gradients_do_not_tell_the_two_apart() -> None:
    start = torch.randn(20, dtype=torch.float64)
    gradients = [torch.randn(20, dtype=torch.float64).sign() * (1 + torch.rand(20)) for _ in range(5)]
    own, torchs = (trained(form, gradients, start) for form in (TensorFlowAdam, torch.optim.Adam))
    torch.testing.assert_close(own, torchs, rtol=0, atol=1e-9)


def test_a_resumed_optimiser_goes_on_counting() -> None:
    start = torch.randn(20, dtype=torch.float64)
    gradients = [1e-8 * torch.randn(20, dtype=torch.float64) for _ in range(6)]
    parameter = nn.Parameter(start.clone())
    first = TensorFlowAdam([parameter], lr=LR, eps=EPS, fused=True)
    for gradient in gradients[:3]:
        parameter.grad = gradient.clone()
        first.step()
    second = TensorFlowAdam([parameter], lr=LR, eps=EPS, fused=True)
    second.load_state_dict(first.state_dict())
    for gradient in gradients[3:]:
        parameter.grad = gradient.clone()
        second.step()
    torch.testing.assert_close(parameter.detach(), formula(gradients, start), rtol=0, atol=1e-12)
