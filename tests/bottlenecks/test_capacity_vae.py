"""The capacity that grows against Burgess et al. (2018), eq. (8)."""

import numpy as np
import pytest
import torch
from golden import gaussian, golden
from zoo import draw, make, random_heads


@golden("capacity_vae")
def evaluate(now, held, given):
    settings, t = given.settings, held.weights["step"]
    z, kl = gaussian(now.encode(given.x), given.noise)
    capacity = settings.C_max * min(1, t / settings.anneal_steps)
    gap = abs(kl.sum(1).mean() - capacity)
    return {
        "z": z,
        "penalty": settings.gap_weight * gap,
        "terms": {"kl_loss": kl.sum(1).mean(), "gap_loss": gap, "capacity": capacity},
        "taps": {"rate": kl / np.log(2)},
        "state": {"step": t + given.training},
    }


def test_the_capacity_grows_with_the_step_and_stays_at_its_end():
    bottleneck = make("capacity_vae", "bottleneck.anneal_steps=4", "bottleneck.C_max=8.0")
    heads = random_heads(bottleneck)
    assert [bottleneck(heads, draw(bottleneck)).terms["capacity"].item() for _ in range(7)] == [0, 2, 4, 6, 8, 8, 8]
    bottleneck.eval()
    bottleneck(heads, None)
    assert bottleneck.step == 7  # evaluation does not count


@pytest.mark.parametrize(("C", "sign"), [(1e-3, 1), (1e3, -1)])
def test_the_rate_is_led_to_the_capacity_from_both_sides(C, sign):
    bottleneck = make("capacity_vae", f"bottleneck.C_max={C}", "bottleneck.gap_weight=2.0")
    bottleneck.step.fill_(10**6)
    heads = {key: head.requires_grad_() for key, head in random_heads(bottleneck).items()}
    bottleneck(heads, None).penalty.backward()
    mean = heads["z_e"]
    torch.testing.assert_close(mean.grad, sign * 2.0 * mean.detach() / len(mean))  # d KL / d mean = mean
