"""The Gaussian posterior against Kingma & Welling (2014): reparameterisation and the KL from the standard normal."""

import math

import numpy as np
import pytest
import torch
from golden import gaussian, golden
from scipy.integrate import quad
from scipy.stats import norm
from zoo import assert_equal, draw, make
from zoo import random_heads as heads_of

from softvq.bottlenecks.vae import GaussianPosterior, kl_to_standard_normal


@golden("vae", "beta_vae")
def evaluate(now, held, given):
    z, kl = gaussian(now.encode(given.x), given.noise)
    return {
        "z": z,
        "penalty": given.settings.kl_weight * kl.sum(1).mean(),
        "terms": {"kl_loss": kl.sum(1).mean()},
        "taps": {"rate": kl / np.log(2)},
    }


def random_heads(B, M, d):
    return {"z_e": torch.randn(B, M, d).double(), "log_var": torch.randn(B, M, d).double()}


def test_kl_is_zero_at_the_prior():
    assert torch.equal(kl_to_standard_normal(torch.zeros(3, 5), torch.zeros(3, 5)), torch.zeros(3))


@pytest.mark.parametrize(("mean", "log_var"), [(0.0, 0.0), (1.5, 0.0), (0.0, -2.0), (0.0, 1.0), (-0.7, 0.4)])
def test_kl_is_the_integral_of_its_definition(mean, log_var):
    posterior, prior = norm(mean, math.exp(0.5 * log_var)), norm()
    integral, _ = quad(lambda z: posterior.pdf(z) * (posterior.logpdf(z) - prior.logpdf(z)), -30, 30, points=[mean])
    found = kl_to_standard_normal(torch.tensor([mean]).double(), torch.tensor([log_var]).double())
    assert found.item() == pytest.approx(integral, abs=1e-8)


@pytest.mark.parametrize(("B", "M", "d"), [(1, 1, 1), (5, 1, 4), (3, 4, 2)])
def test_vae_equals_its_equations_in_numpy(B, M, d):
    heads, noise = random_heads(B, M, d), torch.randn(B, M, d).double()
    latent = GaussianPosterior(d=d, kl_weight=2.5)(heads, noise)
    mean, log_var = heads["z_e"].numpy(), heads["log_var"].numpy()
    std = np.exp(log_var / 2)
    kl = (mean**2 / 2 + std**2 / 2 - 1 / 2 - np.log(std)).sum((1, 2)).mean()  # summed over the code
    np.testing.assert_allclose(latent.z, mean + std * noise.numpy(), rtol=1e-12)
    np.testing.assert_allclose(latent.penalty, 2.5 * kl, rtol=1e-12)
    assert latent.terms.keys() == {"kl_loss"}
    np.testing.assert_allclose(latent.terms["kl_loss"], kl, rtol=1e-12)
    assert latent.taps.keys() == {"z_e", "log_var", "rate"}
    np.testing.assert_array_equal(latent.taps["z_e"], mean)
    np.testing.assert_array_equal(latent.taps["log_var"], log_var)
    assert latent.taps["rate"].shape == (B, M)
    np.testing.assert_allclose(latent.taps["rate"].sum(1).mean(), kl / np.log(2), rtol=1e-12)  # bits an image


def test_samples_have_the_mean_and_the_variance_of_the_heads():
    mean, log_var = torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([-2.0, 0.0, 1.0])
    bottleneck = GaussianPosterior(d=3, kl_weight=1.0)
    N = 20_000
    noise = bottleneck.draw_noise(N, 1, torch.Generator().manual_seed(0))
    z = bottleneck({"z_e": mean.expand(N, 1, 3), "log_var": log_var.expand(N, 1, 3)}, noise).z[:, 0]
    assert ((z.mean(0) - mean).abs() < 4.5 * (0.5 * log_var).exp() / math.sqrt(N)).all()
    assert ((z.var(0) / log_var.exp() - 1).abs() < 4.5 * math.sqrt(2 / N)).all()


def test_without_noise_the_decoder_reads_the_mean():
    heads = random_heads(4, 2, 3)
    assert torch.equal(GaussianPosterior(d=3, kl_weight=1.0)(heads, None).z, heads["z_e"])


def test_reconstruction_gradient_reaches_both_heads_through_the_sample():
    heads, noise = random_heads(4, 2, 3), torch.randn(4, 2, 3).double()
    mean, log_var = (head.requires_grad_() for head in heads.values())
    from_decoder = torch.randn(4, 2, 3).double()
    (GaussianPosterior(d=3, kl_weight=1.0)(heads, noise).z * from_decoder).sum().backward()
    assert torch.equal(mean.grad, from_decoder)
    torch.testing.assert_close(log_var.grad, from_decoder * noise * 0.5 * (0.5 * log_var.detach()).exp())


def test_kl_pulls_the_heads_towards_the_prior():
    heads = random_heads(4, 2, 3)
    mean, log_var = (head.requires_grad_() for head in heads.values())
    GaussianPosterior(d=3, kl_weight=20.0)(heads, None).penalty.backward()
    torch.testing.assert_close(mean.grad, 20.0 * mean.detach() / 4)
    torch.testing.assert_close(log_var.grad, 20.0 * 0.5 * (log_var.detach().exp() - 1) / 4)


@pytest.mark.parametrize(
    ("d", "kl_weight", "message"),
    [
        (0, 1.0, "network.d must be at least 1, got 0"),
        (3, -1.0, "bottleneck.kl_weight must be at least 0, got -1.0"),
        (3, math.nan, "bottleneck.kl_weight must be at least 0, got nan"),
    ],
)
def test_settings_out_of_range_are_refused_by_key_and_value(d, kl_weight, message):
    with pytest.raises(ValueError, match=message):
        GaussianPosterior(d=d, kl_weight=kl_weight)


# --- beta


def test_beta_one_is_the_vae():
    vae, beta_vae = make("vae"), make("beta_vae", "bottleneck.kl_weight=1.0")
    heads, noise = heads_of(vae), draw(vae)
    assert_equal(beta_vae(heads, noise), vae(heads, noise))


def test_beta_scales_the_kl_alone():
    vae, beta_vae = make("vae"), make("beta_vae")
    heads, noise = heads_of(vae), draw(vae)
    light, heavy = vae(heads, noise), beta_vae(heads, noise)
    assert torch.equal(heavy.z, light.z)
    assert torch.equal(heavy.terms["kl_loss"], light.terms["kl_loss"])
    torch.testing.assert_close(heavy.penalty, 20 * light.penalty)


# --- the prior


def test_the_prior_is_the_standard_normal():
    z = GaussianPosterior(d=4, kl_weight=1.0).sample_prior(5000, 2, torch.Generator().manual_seed(0))
    assert z.mean().abs() < 4.5 / math.sqrt(z.numel())
    assert (z.var() - 1).abs() < 4.5 * math.sqrt(2 / z.numel())
