"""EM-VQ against Roy et al. (2018): the draws, the M-step, and hard EM as their limit."""

import numpy as np
import torch
from golden import followed, golden, softmax, squared_distances
from zoo import K, d, draw, make, random_heads


@golden("em_vq")
def evaluate(now, held, given):
    z, z_held = now.encode(given.x)["z_e"], held.encode(given.x)["z_e"]
    mu, settings = held.weights["codebook.codewords"], given.settings
    distances = squared_distances(z_held, mu)
    p, one_hot = softmax(-distances), np.eye(len(mu))
    share = one_hot[distances.argmin(-1)]
    if given.noise is not None:
        for b, m in np.ndindex(p.shape[:2]):
            draws = [np.searchsorted(np.cumsum(p[b, m]), u) for u in given.noise[b, m]]
            share[b, m] = one_hot[np.minimum(draws, len(mu) - 1)].mean(0)
    z_q = share @ mu
    state = {}
    if given.training:
        state = followed(held.weights, z_held.reshape(-1, z.shape[-1]), share.reshape(-1, len(mu)), given)
    commitment_loss = ((z - z_q) ** 2).mean()
    return {
        "z": z + (z_q - z_held),
        "penalty": given.mean_scale * settings.commitment_weight * commitment_loss,
        "terms": {"commitment_loss": commitment_loss},
        "taps": {"z_q": z_q, "posterior": p, "index": distances.argmin(-1)},
        "state": state,
    }


def test_draws_follow_the_posterior():
    bottleneck, N = make("em_vq", "bottleneck.samples=20000"), 20_000
    heads = {"z_e": torch.randn(1, 1, d).double()}
    bottleneck.eval()
    latent = bottleneck(heads, draw(bottleneck, 1, positions=1))
    share = torch.linalg.lstsq(bottleneck.codewords[:d].T, latent.z[0, 0]).solution  # any d codewords span the space
    assert share.shape == (d,)
    p = latent.taps["posterior"][0, 0]
    expected = p @ bottleneck.codewords
    spread = ((p @ bottleneck.codewords.square()) - expected.square()).sqrt()
    assert ((latent.z[0, 0] - expected).abs() < 4.5 * spread / N**0.5).all()


def test_far_codes_are_assigned_as_hard_em_would():
    bottleneck = make("em_vq").eval()
    bottleneck.codebook.codewords *= 100
    heads = random_heads(bottleneck)
    soft, hard = bottleneck(heads, draw(bottleneck)), bottleneck(heads, None)
    close = (soft.z - hard.z).abs().amax(-1) < 1e-9
    assert close.double().mean() > 0.9


def test_evaluation_takes_the_nearest_codeword():
    bottleneck = make("em_vq").eval()
    heads = random_heads(bottleneck)
    latent = bottleneck(heads, None)
    nearest = torch.cdist(heads["z_e"], bottleneck.codewords).argmin(-1)
    torch.testing.assert_close(latent.z, bottleneck.codewords[nearest])
    assert len(bottleneck.codewords) == K
