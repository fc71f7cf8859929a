"""NECST against Choi et al. (2018): the channel, the bound, and VIMCO's gradient against the exact one."""

import itertools

import numpy as np
import pytest
import torch
from golden import SHAPE, VARIANCE, B, M, TorchCoder, a_world, golden, reconstruction_losses, sigmoid
from zoo import d, draw, make, random_heads


def received(world, given):
    logits = world.encode(given.x)["z_e"]
    p, flip = sigmoid(logits), given.settings.flip
    return logits, p * (1 - flip) + (1 - p) * flip


def surprise(q):
    return (np.log(2) + q * np.log(q) + (1 - q) * np.log(1 - q)).sum(-1) / np.log(2)


@golden("necst_ste")
def evaluate_straight_through(now, held, given):
    (logits, q), (_, q_held) = received(now, given), received(held, given)
    z = (logits > 0).astype(float) if given.noise is None else q + ((given.noise < q_held) - q_held)
    return {"z": z, "penalty": 0.0, "terms": {}, "taps": {"rate": surprise(q)}}


@golden("necst")
def evaluate_vimco(now, held, given):
    (logits, q), (_, q_held) = received(now, given), received(held, given)
    if given.noise is None:
        return {"z": (logits > 0).astype(float), "penalty": 0.0, "terms": {}}
    S = given.settings.samples
    bound, value, score, errors = 0.0, 0.0, 0.0, 0.0
    for b in range(len(q)):
        image = given.x[b : b + 1]
        y = (given.noise[b] < q_held[b]).astype(float)  # (S, M, d)
        log_p, log_p_held = (
            np.array([-reconstruction_losses(world.decode(y[s : s + 1]), image)[0] for s in range(S)])
            for world in (now, held)
        )
        bound += np.log(np.exp(log_p).mean())
        value += np.log(np.exp(log_p_held).mean())
        errors -= log_p.mean()
        for s in range(S):
            others = np.delete(log_p_held, s)
            without = np.log((np.exp(others).sum() + np.exp(others.mean())) / S)
            log_q, log_q_held = (np.log(np.where(y[s] == 1, w[b], 1 - w[b])).sum() for w in (q, q_held))
            score += (np.log(np.exp(log_p_held).mean()) - without) * (log_q - log_q_held)
    N = len(q)
    return {
        "z": (given.noise[:, 0] < q_held).astype(float),
        "loss": -(bound + score) / N,
        "terms": {"reconstruction_loss": errors / N, "bound_loss": -value / N},
        "taps": {"rate": surprise(q)},
    }


@pytest.mark.slow
def test_vimcos_gradient_is_that_of_the_bound_on_average():
    """Against the bound's exact expectation over all bits of all draws, differentiated."""
    bottleneck = make("necst", "bottleneck.samples=2", "network.d=1", "bottleneck.flip=0.2")
    torch.manual_seed(3)
    coder = TorchCoder(a_world(bottleneck))
    x = torch.rand(B, *SHAPE).double()
    q = bottleneck.received(coder.encode_pixels(x)["z_e"])  # (B, M, 1)
    codes = torch.tensor(list(itertools.product([0.0, 1.0], repeat=M))).double()[..., None]  # (4, M, 1)
    errors = torch.stack(
        [(coder.decode(code.expand(B, M, 1)) - x).square().sum((1, 2, 3)) / (2 * VARIANCE) for code in codes]
    )  # (4, B)
    p = torch.stack([torch.where(code == 1, q, 1 - q).prod(1)[:, 0] for code in codes])  # (4, B)
    expected = sum(
        p[i] * p[j] * ((-errors[i].detach()).exp() / 2 + (-errors[j].detach()).exp() / 2).log()
        for i, j in itertools.product(range(4), repeat=2)
    )
    (exact,) = torch.autograd.grad(-expected.mean(), coder.offsets["z_e"])
    N = 3000
    samples = []
    for seed in range(N):
        noise = bottleneck.draw_noise(B, M, torch.Generator().manual_seed(seed)).double()
        loss = bottleneck.objective(coder, x, noise, None).loss
        samples.append(torch.autograd.grad(loss, coder.offsets["z_e"])[0])
    stacked = torch.stack(samples)
    error = stacked.std(0) / N**0.5
    assert ((stacked.mean(0) - exact).abs() < 4.5 * error + 1e-9).all()


def test_the_channel_flips_so_many_bits():
    bottleneck, N = make("necst_ste", "bottleneck.flip=0.2"), 4000
    heads = {"z_e": torch.tensor([30.0, -30.0, 30.0, -30.0, 30.0]).double().expand(N, 1, d)}
    sent = (heads["z_e"] > 0).double()
    flipped = (bottleneck(heads, draw(bottleneck, N, positions=1)).z.round() - sent).abs().mean().item()
    assert flipped == pytest.approx(0.2, abs=4.5 * (0.2 * 0.8 / N / d) ** 0.5)


def test_without_noise_a_bit_is_the_sign_of_its_logit():
    bottleneck = make("necst").eval()
    heads = random_heads(bottleneck)
    assert torch.equal(bottleneck(heads, None).z, (heads["z_e"] > 0).double())


def test_a_useless_channel_carries_no_bits():
    bottleneck = make("necst", "bottleneck.flip=0.5")
    assert bottleneck(random_heads(bottleneck), None).taps["rate"].abs().max() < 1e-9


@pytest.mark.parametrize("name", ["necst", "necst_ste"])
def test_a_probability_above_one_half_is_refused_by_key_and_value(name):
    with pytest.raises(Exception, match=r"bottleneck\.flip must be at most 0\.5, got 0\.7"):
        make(name, "bottleneck.flip=0.7")
