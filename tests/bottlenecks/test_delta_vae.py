"""Delta-VAE against Razavi et al. (2019): the KL of every unit is at least delta, whatever the heads say."""

import numpy as np
import pytest
import torch
from golden import golden, sigmoid
from scipy.special import lambertw
from zoo import make

from softvq.bottlenecks.delta_vae import AutoregressiveDeltaVAE, DeltaVAE, variance_bounds
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


@golden("delta_vae_sequence")
def evaluate_sequence(now, held, given):
    """The KL from the joint distribution of the whole sequence, whose covariance is a^|i - j|."""
    heads = now.encode(given.x)
    mean, variance = heads["z_e"], np.exp(heads["log_var"])
    kl = np.array(
        [
            [joint_kl(*unit, given.settings.a) for unit in zip(m.T, v.T, strict=True)]
            for m, v in zip(mean, variance, strict=True)
        ]
    )
    return {
        "z": mean if given.noise is None else mean + np.sqrt(variance) * given.noise,
        "penalty": given.settings.kl_weight * kl.sum(1).mean(),
        "terms": {"kl_loss": kl.sum(1).mean()},
    }


def joint_kl(mean, variance, a):
    """KL(N(mean, diag(variance)) || the stationary AR(1) process), nats; mean and variance (n,)."""
    n = len(mean)
    prior = a ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    inverse = np.linalg.inv(prior)
    log_ratio = np.linalg.slogdet(prior)[1] - np.log(variance).sum()
    return (log_ratio + np.trace(inverse @ np.diag(variance)) + mean @ inverse @ mean - n) / 2


@pytest.mark.parametrize("a", [0.0, 0.4, 0.95])
@pytest.mark.parametrize(("M", "d"), [(1, 6), (5, 2)])
def test_a_sequence_has_the_rate_of_its_joint_distribution(M, d, a):
    bottleneck = AutoregressiveDeltaVAE(d=d, a=a, kl_weight=1.0)
    mean, log_var = torch.randn(2, 3, M, d).double()
    found = bottleneck({"z_e": mean, "log_var": log_var}, None).taps["rate"].sum(1) * np.log(2)
    sequences = (M, d) if M > 1 else (d, 1)
    for image, rate in enumerate(found):
        units = (t[image].numpy().reshape(sequences) for t in (mean, log_var.exp()))
        wanted = sum(joint_kl(*unit, a) for unit in zip(*(u.T for u in units), strict=True))
        assert rate.item() == pytest.approx(wanted)


@pytest.mark.parametrize("a", [0.1, 0.4, 0.95])
@pytest.mark.parametrize(("M", "d", "n"), [(1, 8, 8), (2, 3, 2), (16, 3, 16)])
def test_a_sequences_rate_never_falls_below_its_floor_and_reaches_it(M, d, n, a):
    floor = ((n - 2) * np.log(1 + a**2) - np.log(1 - a**2)) / 2 * (M * d // n)
    bottleneck = AutoregressiveDeltaVAE(d=d, a=a, kl_weight=1.0)
    random = 3 * torch.randn(2, 2000, M, d).double()
    assert bottleneck({"z_e": random[0], "log_var": random[1]}, None).taps["rate"].sum(1).min() * np.log(2) > floor
    # The closest independent posterior: (1 - a^2) / (1 + a^2) inside, 1 - a^2 at both ends.
    variance = torch.full((n,), (1 - a**2) / (1 + a**2)).double()
    variance[[0, -1]] = 1 - a**2
    log_var = variance.log().reshape(-1, 1).expand(-1, M * d // n).reshape(1, M, d)
    rate = bottleneck({"z_e": torch.zeros(1, M, d).double(), "log_var": log_var}, None).taps["rate"].sum()
    assert rate.item() * np.log(2) == pytest.approx(floor)


def test_a_sequences_samples_are_correlated_as_its_prior():
    bottleneck = AutoregressiveDeltaVAE(d=2, a=0.6, kl_weight=1.0)
    z = bottleneck.sample_prior(20_000, 4, torch.Generator().manual_seed(0)).double()
    lag = torch.tensor([[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0]])
    for unit in z.unbind(-1):
        torch.testing.assert_close(unit.T.cov(), 0.6 ** lag.double(), rtol=0, atol=0.04)


def test_an_unforgetting_prior_is_refused_by_key_and_value():
    with pytest.raises(Exception, match=r"bottleneck\.a must be below 1, got 1"):
        make("delta_vae_sequence", "bottleneck.a=1")


def test_a_negative_floor_is_refused_by_key_and_value():
    with pytest.raises(Exception, match=r"bottleneck\.delta must be at least 0, got -1"):
        make("delta_vae", "bottleneck.delta=-1")
