"""Delta-VAE against Razavi et al. (2019): the KL of every unit is at least delta, whatever the heads say."""

import numpy as np
import pytest
import torch
from golden import golden, sigmoid
from scipy.special import lambertw
from zoo import make

from softvq.bottlenecks.delta_vae import DeltaVAE, variance_bounds
from softvq.bottlenecks.vae import kl_to_standard_normal


@golden("delta_vae")
def evaluate(now, held, given):
    def excess(t):
        return np.log(t) - t + 2 * given.settings.delta + 1

    low, high = (-lambertw(-np.exp(-2 * given.settings.delta - 1), branch).real for branch in (0, -1))
    heads = now.encode(given.x)
    variance = low + (high - low) * sigmoid(heads["variance"])
    mean = np.sqrt(np.maximum(excess(variance), 1e-8)) + np.maximum(heads["z_e"], 0)
    kl = ((mean**2 + variance - np.log(variance) - 1) / 2).sum(-1)
    return {
        "z": mean if given.noise is None else mean + np.sqrt(variance) * given.noise,
        "penalty": given.settings.kl_weight * kl.sum(1).mean(),
        "terms": {"kl_loss": kl.sum(1).mean()},
        "taps": {"z_e": mean, "log_var": np.log(variance), "rate": kl / np.log(2)},
    }


def kl_of_units(delta, mean_head, variance_head):
    """KL (N,) of single units."""
    heads = {"z_e": mean_head.reshape(-1, 1, 1), "variance": variance_head.reshape(-1, 1, 1)}
    return DeltaVAE(d=1, delta=delta, kl_weight=1.0)(heads, None).taps["rate"].flatten() * np.log(2)


@pytest.mark.parametrize("delta", [0.001, 0.08, 0.5, 3.0])
def test_the_rate_never_falls_below_delta(delta):
    heads = 30 * torch.randn(2, 20_000).double()
    kl = kl_of_units(delta, *heads)
    assert kl.min() >= delta * (1 - 1e-6)
    # It is reached wherever the mean's head is below zero: the KL is then delta exactly, but for the clamp.
    torch.testing.assert_close(kl[heads[0] < 0], torch.full_like(kl[heads[0] < 0], delta), rtol=1e-5, atol=1e-8)


def test_without_the_root_the_floor_would_not_hold():
    # Some public ports leave it out: at delta = .08 the KL falls to .013.
    low, high = variance_bounds(0.08)
    variance = torch.linspace(low, high, 10_001).double()
    radicand = 2 * 0.08 + 1 + variance.log() - variance
    unrooted, rooted = (kl_to_standard_normal(m[:, None], variance.log()[:, None]) for m in (radicand, radicand.sqrt()))
    assert unrooted.min().item() == pytest.approx(0.0128, abs=5e-4)
    assert torch.nan_to_num(rooted, nan=1.0).min().item() == pytest.approx(0.08, abs=1e-6)


@pytest.mark.parametrize("delta", [0.0, 0.08, 2.0])
def test_the_bounds_are_the_roots(delta):
    low, high = variance_bounds(delta)
    assert low <= 1 <= high
    for root in (low, high):
        assert np.log(root) - root + 2 * delta + 1 == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("head", [-80.0, -5.0, 0.0, 5.0, 80.0])
def test_gradients_are_finite_up_to_both_ends_of_the_variance(head):
    variance = torch.full((1, 1, 1), head).double().requires_grad_()
    mean = torch.zeros(1, 1, 1).double().requires_grad_()
    latent = DeltaVAE(d=1, delta=0.08, kl_weight=1.0)({"z_e": mean, "variance": variance}, torch.ones(1, 1, 1))
    (latent.z.sum() + latent.penalty).backward()
    assert torch.isfinite(variance.grad).all()
    assert variance.grad.abs().item() < 1e3


def test_a_negative_floor_is_refused_by_key_and_value():
    with pytest.raises(Exception, match=r"bottleneck\.delta must be at least 0, got -1"):
        make("delta_vae", "bottleneck.delta=-1")
