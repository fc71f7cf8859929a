"""Information dropout against Achille & Soatto (2018) and against the notebooks' commented-out form."""

import math

import numpy as np
import pytest
import torch
from golden import golden, sigmoid
from scipy.stats import norm

from softvq.bottlenecks.info_dropout import InformationDropout, ReleasedInformationDropout

FORMS = [InformationDropout, ReleasedInformationDropout]


@golden("info_dropout")
def evaluate(now, held, given):
    heads = now.encode(given.x)
    alpha = 0.001 + given.settings.max_alpha * sigmoid(heads["alpha"])
    cost = -np.log(alpha / (given.settings.max_alpha + 0.001)).sum((1, 2)).mean()
    return {
        "z": heads["z_e"] * (1 if given.noise is None else np.exp(alpha * given.noise)),
        "penalty": given.settings.info_weight * cost,
        "terms": {"info_loss": cost, "alpha": alpha.mean()},
    }


def dropout(form, d=3, **changes):
    return form(d=d, **{"info_weight": 1.0, "max_alpha": 0.7, "reduction": "sum", **changes})


def random_heads(B=4, M=2, d=3):
    return {"z_e": torch.randn(B, M, d).double(), "alpha": 2 * torch.randn(B, M, d).double()}


def oracle(form, head, max_alpha):
    """The noise's scale and its cost, each (B, M, d)."""
    if form is InformationDropout:
        alpha = 0.001 + max_alpha / (1 + np.exp(-head))
        return alpha, -np.log(alpha / (max_alpha + 0.001))
    head = np.maximum(head, 0)
    return max_alpha * head, -np.log(head / max_alpha + 0.001)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize(("B", "M", "d"), [(1, 1, 1), (5, 1, 4), (3, 4, 2)])
@pytest.mark.parametrize("form", FORMS)
def test_information_dropout_equals_its_equations_in_numpy(form, B, M, d, reduction):
    heads, noise = random_heads(B, M, d), torch.randn(B, M, d).double()
    latent = dropout(form, d, info_weight=0.3, max_alpha=0.6, reduction=reduction)(heads, noise)
    z_e = heads["z_e"].numpy()
    alpha, cost = oracle(form, heads["alpha"].numpy(), 0.6)
    info_loss = (cost.sum((1, 2)) if reduction == "sum" else cost.mean((1, 2))).mean()
    np.testing.assert_allclose(latent.z, z_e * np.exp(alpha * noise.numpy()), rtol=1e-12)
    np.testing.assert_allclose(latent.penalty, 0.3 * info_loss, rtol=1e-12)
    assert latent.terms.keys() == {"info_loss", "alpha"}
    np.testing.assert_allclose(latent.terms["info_loss"], info_loss, rtol=1e-12)
    np.testing.assert_allclose(latent.terms["alpha"], alpha.mean(), rtol=1e-12)
    assert latent.taps.keys() == {"z_e"}
    np.testing.assert_array_equal(latent.taps["z_e"], z_e)


@pytest.mark.parametrize("form", FORMS)
def test_information_dropout_without_noise_is_the_identity(form):
    heads = random_heads()
    assert torch.equal(dropout(form)(heads, None).z, heads["z_e"])


@pytest.mark.parametrize("form", FORMS)
def test_noise_is_log_normal_with_the_scale_of_the_head(form):
    bottleneck, N = dropout(form), 20_000
    head = torch.tensor([0.5, 1.0, 3.0])
    noise = bottleneck.draw_noise(N, 1, torch.Generator().manual_seed(0))
    z = bottleneck({"z_e": torch.full((N, 1, 3), -2.0), "alpha": head.expand(N, 1, 3)}, noise).z[:, 0]
    log_factor = (z / -2.0).log()
    alpha = torch.from_numpy(oracle(form, head.numpy(), 0.7)[0])
    assert (log_factor.mean(0).abs() < 4.5 * alpha / math.sqrt(N)).all()
    assert ((log_factor.var(0) / alpha**2 - 1).abs() < 4.5 * math.sqrt(2 / N)).all()


def test_cost_is_the_kl_from_the_log_uniform_prior_above_that_of_the_largest_noise():
    # ln of the noise is N(0, alpha^2) and its prior is flat: the KL is minus the entropy, up to a constant.
    head = torch.linspace(-6, 6, 9).double()
    alpha, cost = dropout(InformationDropout).alpha_and_cost(head)
    expected = norm(scale=0.701).entropy() - np.array([norm(scale=a).entropy() for a in alpha.tolist()])
    np.testing.assert_allclose(cost, expected, rtol=1e-9, atol=1e-12)


def test_cost_is_never_negative_and_zero_at_the_largest_noise():
    alpha, cost = dropout(InformationDropout).alpha_and_cost(torch.linspace(-60, 60, 41).double())
    assert (cost >= 0).all()
    assert (cost.diff() <= 0).all()
    assert cost[-1].item() == pytest.approx(0, abs=1e-12)
    assert alpha[0].item() == pytest.approx(0.001)
    assert alpha[-1].item() == pytest.approx(0.701)


def test_released_form_takes_a_negative_head_for_zero():
    # The notebooks' logarithm of head / 0.7 + 0.001 has no value below -0.0007.
    heads = {"z_e": torch.randn(2, 1, 3), "alpha": torch.tensor([-5.0, -0.01, 0.0]).expand(2, 1, 3).clone()}
    heads["alpha"].requires_grad_()
    latent = dropout(ReleasedInformationDropout)(heads, torch.randn(2, 1, 3))
    assert torch.equal(latent.z, heads["z_e"])
    assert latent.penalty.item() == pytest.approx(3 * math.log(1000), rel=1e-6)
    latent.penalty.backward()
    assert torch.isfinite(heads["alpha"].grad).all()


@pytest.mark.parametrize("form", FORMS)
def test_reconstruction_gradient_reaches_the_code_through_the_noise(form):
    heads, noise = random_heads(), torch.randn(4, 2, 3).double()
    z_e = heads["z_e"].requires_grad_()
    from_decoder = torch.randn(4, 2, 3).double()
    (dropout(form)(heads, noise).z * from_decoder).sum().backward()
    alpha, _ = oracle(form, heads["alpha"].numpy(), 0.7)
    np.testing.assert_allclose(z_e.grad, from_decoder.numpy() * np.exp(alpha * noise.numpy()), rtol=1e-12)


def test_the_released_form_divides_by_a_bound_above_zero():
    assert dropout(InformationDropout, max_alpha=0.0).max_alpha == 0
    with pytest.raises(ValueError, match=r"bottleneck\.max_alpha must be above 0, .*got 0"):
        dropout(ReleasedInformationDropout, max_alpha=0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d": 0}, "network.d must be at least 1, got 0"),
        ({"info_weight": -1.0}, "bottleneck.info_weight must be at least 0, got -1.0"),
        ({"max_alpha": -0.7}, "bottleneck.max_alpha must be at least 0, got -0.7"),
        ({"reduction": "max"}, "bottleneck.reduction must be one of sum, mean, got 'max'"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_settings_out_of_range_are_refused_by_key_and_value(form, changes, message):
    with pytest.raises(ValueError, match=message):
        dropout(form, **changes)
