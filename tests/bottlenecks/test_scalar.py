"""Scalar quantization against Balle et al. (2017) and Theis et al. (2017): a rate that is a code's real length."""

import math

import numpy as np
import pytest
import torch
from golden import golden, sigmoid
from zoo import B, M, d, draw, images, loss, make, model, random_heads

from softvq.bottlenecks.scalar import LogisticMixtures


def mass(y, weights):
    """The probability of the unit interval around y (..., d)."""
    logits, means, scales = (weights[f"entropy_model.{name}"] for name in ("logits", "means", "log_scales"))
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    above, below = ((y[..., None] - means + side) / np.exp(scales) for side in (0.5, -0.5))
    nearer = -np.sign(above + below)  # a difference of small numbers, not of numbers near 1
    return (shares * np.abs(sigmoid(nearer * above) - sigmoid(nearer * below))).sum(-1)


def evaluate(now, held, given, rounds):
    settings = given.settings
    unit = settings.step_size * (held.weights["scale"] if rounds else 1)
    y, y_held = (world.encode(given.x)["z_e"] / unit for world in (now, held))
    if not given.training and not rounds:
        y = np.round(y_held)
    elif rounds:
        y = y + (np.round(y_held) - y_held)
    else:
        y = y + given.noise
    rate = -np.log(mass(y, now.weights)).sum(-1)
    return {
        "z": settings.step_size * y,
        "penalty": settings.rate_weight * rate.sum(1).mean(),
        "terms": {"rate_loss": rate.sum(1).mean()},
        "taps": {"rate": rate / np.log(2)},
    }


@golden("scalar")
def evaluate_noise(now, held, given):
    return evaluate(now, held, given, rounds=False)


@golden("scalar_rounding")
def evaluate_rounding(now, held, given):
    return evaluate(now, held, given, rounds=True)


def test_the_masses_of_all_integers_add_up_to_one():
    model = LogisticMixtures(d=4, components=3).double()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter)
    integers = torch.arange(-400, 401).double()[:, None].expand(-1, 4)
    torch.testing.assert_close(model.log_mass(integers).exp().sum(0), torch.ones(4).double())


@pytest.mark.parametrize("y", [-1e4, -300.0, 0.0, 300.0, 1e4])
def test_masses_and_their_gradients_stay_finite_far_out(y):
    model = LogisticMixtures(d=1, components=2)
    at = torch.tensor([y]).requires_grad_()
    log_mass = model.log_mass(at)
    log_mass.sum().backward()
    assert torch.isfinite(log_mass).all()
    assert math.copysign(1, at.grad.item()) == -math.copysign(1, y) or y == 0  # back towards the middle


def test_the_rate_is_the_entropy_once_the_model_knows_the_distribution():
    # A unit that is 0 or 1 with probability 1/4 and 3/4 costs 0.811 bits.
    model = LogisticMixtures(d=1, components=2)
    y = torch.tensor([0.0, 1.0, 1.0, 1.0])[:, None]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(1000):
        optimizer.zero_grad()
        rate = -model.log_mass(y).mean()
        rate.backward()
        optimizer.step()
    assert rate.item() / math.log(2) == pytest.approx(0.8113, abs=0.01)


def test_evaluation_rounds_to_multiples_of_the_step_size():
    bottleneck = make("scalar", "bottleneck.step_size=0.5").eval()
    heads = random_heads(bottleneck)
    z = bottleneck(heads, None).z
    assert torch.equal((2 * z).round(), 2 * z)
    assert (z - heads["z_e"]).abs().max() <= 0.25


def test_noise_is_uniform_over_one_step():
    bottleneck = make("scalar")
    noise = bottleneck.draw_noise(2000, M, torch.Generator().manual_seed(0))
    assert -0.5 <= noise.min() < -0.499
    assert 0.499 < noise.max() <= 0.5
    assert noise.var().item() == pytest.approx(1 / 12, rel=0.02)


def test_prior_samples_follow_the_entropy_model():
    bottleneck = make("scalar")
    for parameter in bottleneck.parameters():
        parameter.data += torch.randn_like(parameter)
    N = 20_000
    z = bottleneck.sample_prior(N, 1, torch.Generator().manual_seed(0)).double()
    for value in (-1.0, 0.0, 1.0):
        p = bottleneck.entropy_model.log_mass(torch.full((d,), value).double()).exp()
        found = (z[:, 0] == value).double().mean(0)
        assert ((found - p).abs() < 4.5 * (p * (1 - p) / N).sqrt()).all()


def test_rounding_in_training_is_what_evaluation_does():
    bottleneck = make("scalar_rounding")
    heads = random_heads(bottleneck)
    assert draw(bottleneck) is None
    trained = bottleneck(heads, None)
    torch.testing.assert_close(trained.z, bottleneck.eval()(heads, None).z)
    assert trained.z.shape == (B, M, d)


def test_rounding_measures_codes_by_their_size_before_training():
    bottleneck = make("scalar_rounding")
    codes = 0.01 * random_heads(bottleneck, 200)["z_e"]
    assert not bottleneck({"z_e": codes}, None).z.any()  # all would be rounded to 0
    bottleneck.start(codes.flatten(0, 1))
    z = bottleneck({"z_e": codes}, None).z
    # In units of its own standard deviation a normal number is nearer to 0 than 1/2 with probability 0.383.
    assert (z == 0).double().mean().item() == pytest.approx(0.383, abs=0.03)


@pytest.mark.parametrize("network", ["mlp", "conv", "conv_spatial"])
def test_rounding_trains_a_decoder_without_biases_from_the_first_step(network):
    net = model("scalar_rounding", network)
    net.bottleneck.start(net.encode(images(network, 64)).flatten(0, 1))
    loss(net, network=network)["loss"].backward()
    assert all(parameter.grad.any() for parameter in net.decoder.parameters())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("step_size=0", r"bottleneck\.step_size must be above 0, got 0"),
        ("components=0", r"bottleneck\.components must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused_by_key_and_value(setting, message):
    with pytest.raises(Exception, match=message):
        make("scalar", f"bottleneck.{setting}")
