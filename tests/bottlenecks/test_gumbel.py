"""The relaxed categorical posterior against Jang et al. (2017) and Sonderby et al. (2017)."""

import numpy as np
import pytest
import torch
from golden import golden, softmax, squared_distances
from zoo import B, K, M, d, draw, make, random_heads


def evaluate(now, held, given, hard):
    settings, t = given.settings, held.weights["step"]
    tau = max(settings.tau_end, settings.tau_start * np.exp(-settings.tau_decay * t))

    def relaxed(world):
        logits = -squared_distances(world.encode(given.x)["z_e"], world.weights["codebook"])
        return logits, softmax((logits + (0 if given.noise is None else given.noise)) / tau)

    (logits, y), (_, y_held) = relaxed(now), relaxed(held)
    one_hot = np.eye(logits.shape[-1])
    if given.noise is None:
        y = one_hot[logits.argmax(-1)]
    elif hard:
        y = one_hot[y_held.argmax(-1)] + (y - y_held)
    p = softmax(logits)
    kl = np.log(len(one_hot)) + (p * np.log(p)).sum(-1)  # ln K - H
    return {
        "z": y @ now.weights["codebook"],
        "penalty": settings.kl_weight * kl.sum(1).mean(),
        "terms": {"kl_loss": kl.sum(1).mean(), "tau": tau},
        "taps": {"posterior": p, "index": logits.argmax(-1), "rate": kl / np.log(2)},
        "state": {"step": t + given.training},
    }


@golden("gumbel")
def evaluate_relaxed(now, held, given):
    return evaluate(now, held, given, hard=False)


@golden("gumbel_hard")
def evaluate_hard(now, held, given):
    return evaluate(now, held, given, hard=True)


def test_the_sample_is_a_codeword_in_the_limit_of_no_temperature():
    bottleneck = make("gumbel", "bottleneck.tau_start=1.0e-4", "bottleneck.tau_end=1.0e-4")
    heads = random_heads(bottleneck)
    nearest = torch.cdist(bottleneck(heads, draw(bottleneck)).z, bottleneck.codewords).min(-1).values
    assert nearest.median() < 1e-6
    z = make("gumbel_hard")(heads, draw(bottleneck)).z
    assert torch.cdist(z, make("gumbel_hard").codewords).shape == (B, M, K)


def test_hard_samples_are_codewords_drawn_from_the_posterior():
    bottleneck, N = make("gumbel_hard"), 20_000
    z_e = torch.randn(1, 1, d).double()
    heads = {"z_e": z_e.expand(N, 1, d)}
    latent = bottleneck(heads, draw(bottleneck, N, positions=1))
    drawn = torch.cdist(latent.z, bottleneck.codewords)[:, 0]
    assert drawn.min(-1).values.max() < 1e-6
    found = drawn.argmin(-1).bincount(minlength=K) / N
    p = latent.taps["posterior"][0, 0]
    assert ((found - p).abs() < 4.5 * (p * (1 - p) / N).sqrt()).all()


def test_the_temperature_falls_exponentially_to_its_end():
    bottleneck = make("gumbel", "bottleneck.tau_decay=0.1", "bottleneck.tau_end=0.75")
    heads = random_heads(bottleneck)
    found = [bottleneck(heads, draw(bottleneck)).terms["tau"].item() for _ in range(5)]
    assert found == pytest.approx([1, np.exp(-0.1), np.exp(-0.2), 0.75, 0.75])


def test_the_kl_is_zero_for_equidistant_codewords():
    bottleneck = make("gumbel", "bottleneck.K=10")
    bottleneck.codebook.data = torch.cat([torch.eye(d), -torch.eye(d)]).double()
    latent = bottleneck({"z_e": torch.zeros(2, M, d).double()}, None)
    assert latent.penalty.item() == pytest.approx(0, abs=1e-12)


def test_the_prior_uses_all_codewords_alike():
    bottleneck = make("gumbel")
    z = bottleneck.sample_prior(7000, 1, torch.Generator().manual_seed(0))
    counts = torch.cdist(z.double(), bottleneck.codewords)[:, 0].argmin(-1).bincount(minlength=K)
    assert (counts - 1000).abs().max() < 4.5 * (1000 * (1 - 1 / 7)) ** 0.5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tau_end=0.0", r"bottleneck\.tau_end must be above 0, got 0"),
        ("tau_end=2.0", r"bottleneck\.tau_end must be at most 1\.0, got 2\.0"),
        ("kl_weight=-1", r"bottleneck\.kl_weight must be at least 0, got -1"),
    ],
)
def test_settings_out_of_range_are_refused_by_key_and_value(setting, message):
    with pytest.raises(Exception, match=message):
        make("gumbel", f"bottleneck.{setting}")
