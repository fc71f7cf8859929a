"""Soft-to-hard quantization against Agustsson et al. (2017), section 3, and its controller."""

import numpy as np
import pytest
import torch
from golden import golden, reconstruction_losses, softmax
from zoo import B, M, d, make, random_heads


@golden("soft_to_hard")
def evaluate(now, held, given):
    settings, w, t = given.settings, held.weights, held.weights["step"]

    def quantized(world):
        z, mu = world.encode(given.x)["z_e"], world.weights["codebook"]
        patches = z.reshape(*z.shape[:2], -1, mu.shape[1])
        distances = ((patches[..., None, :] - mu) ** 2).sum(-1)
        hard = np.eye(len(mu))[distances.argmin(-1)]
        soft = softmax(-held.weights["sigma"] * distances)
        return z, mu, hard, soft

    z, mu, hard, soft = quantized(now)
    p = (w["use"] + 1e-5) / (1 + len(mu) * 1e-5)
    weights = soft if given.training else hard
    rate = -(weights @ np.log(p)).sum((1, 2)).mean()
    found = {
        "z": (weights @ mu).reshape(z.shape),
        "penalty": settings.rate_weight * rate,
        "terms": {"rate_loss": rate, "sigma": w["sigma"]},
        "taps": {"z_q": (hard @ mu).reshape(z.shape), "rate": -(hard @ np.log2(p)).sum(2)},
    }
    if given.training:
        soft_loss = reconstruction_losses(now.decode(found["z"]), given.x).mean()
        gap = reconstruction_losses(now.decode(found["taps"]["z_q"]), given.x).mean() - soft_loss
        first = gap if t == 0 else w["first_gap"]
        error = gap - settings.anneal_steps / (settings.anneal_steps + t) * first
        decay = settings.use_decay
        found["terms"] = {"reconstruction_loss": soft_loss, **found["terms"], "gap": gap}
        found["loss"] = soft_loss + given.penalty_weight * found["penalty"]
        found["state"] = {
            "sigma": max(0, w["sigma"] + settings.gain * error),
            "first_gap": first,
            "step": t + 1,
            "use": decay * w["use"] + (1 - decay) * hard.mean((0, 1, 2)),
        }
    return found


def test_a_large_sigma_makes_soft_assignments_hard():
    bottleneck = make("soft_to_hard")
    heads = random_heads(bottleneck)
    bottleneck.sigma.fill_(1e6)
    soft = bottleneck(heads, None)
    torch.testing.assert_close(soft.z, bottleneck.eval()(heads, None).z, rtol=1e-3, atol=1e-3)


def test_no_sigma_gives_the_mean_codeword():
    bottleneck = make("soft_to_hard", "bottleneck.sigma_start=0.0")
    z = bottleneck(random_heads(bottleneck), None).z
    torch.testing.assert_close(z, bottleneck.codebook.mean().expand(B, M, d))


def test_patches_are_quantized_each_by_itself_and_their_rates_add_up():
    bottleneck = make("soft_to_hard", "network.d=6", "bottleneck.patch=2").eval()
    heads = random_heads(bottleneck)
    latent = bottleneck(heads, None)
    patches = heads["z_e"].reshape(B, M, 3, 2)
    nearest = torch.cdist(patches, bottleneck.codebook).argmin(-1)
    assert torch.equal(latent.taps["index"], nearest)
    torch.testing.assert_close(latent.z, bottleneck.codebook[nearest].flatten(2))
    assert torch.equal(bottleneck.codewords[0], bottleneck.codebook[0].repeat(3))
    # All codewords are used alike at first: three patches of ln K nats each.
    torch.testing.assert_close(latent.taps["rate"], torch.full((B, M), 3 * np.log2(len(bottleneck.codewords))).double())


def test_the_histogram_becomes_the_share_of_each_codeword():
    bottleneck = make("soft_to_hard", "bottleneck.use_decay=0.5")
    heads = random_heads(bottleneck)
    for _ in range(60):
        latent = bottleneck(heads, None)
    share = latent.taps["index"].flatten().bincount(minlength=len(bottleneck.codewords)) / (B * M * d)
    torch.testing.assert_close(bottleneck.use, share.double())


def test_a_patch_that_does_not_divide_the_code_is_refused_by_key_and_value():
    with pytest.raises(Exception, match=r"bottleneck\.patch must divide network\.d, got 3 and 5"):
        make("soft_to_hard", "bottleneck.patch=3")
