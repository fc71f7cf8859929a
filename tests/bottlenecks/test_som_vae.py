"""SOM-VAE against Fortuin et al. (2019): two reconstructions, and a grid whose neighbours move together."""

import numpy as np
import pytest
import torch
from golden import golden, reconstruction_losses, squared_distances
from zoo import d, make, random_heads


@golden("som_vae")
def evaluate(now, held, given):
    settings = given.settings
    z, z_held = now.encode(given.x)["z_e"], held.encode(given.x)["z_e"]
    mu = now.weights["codebook"]
    index = squared_distances(z_held, held.weights["codebook"]).argmin(-1)
    z_q = mu[index]
    som = []
    for place in np.ndindex(index.shape):
        row, column = divmod(index[place], settings.columns)
        around = [(row, column), (row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        inside = [r * settings.columns + c for r, c in around if 0 <= r < settings.rows and 0 <= c < settings.columns]
        som.append(((z_held[place] - mu[inside]) ** 2).mean())
    commitment_loss, som_loss = ((z - z_q) ** 2).mean(), np.mean(som)
    penalty = settings.commitment_weight * commitment_loss + settings.som_weight * som_loss
    rec, rec_e = (reconstruction_losses(now.decode(code), given.x).mean() for code in (z_q, z))
    return {
        "z": z_q,
        "loss": rec + rec_e + given.penalty_weight * given.mean_scale * penalty,
        "terms": {
            "reconstruction_loss": rec,
            "commitment_loss": commitment_loss,
            "som_loss": som_loss,
            "z_e_reconstruction_loss": rec_e,
        },
        "taps": {"index": index},
    }


def test_neighbours_are_those_on_the_grid():
    bottleneck = make("som_vae", "bottleneck.rows=3", "bottleneck.columns=3")
    found = [set(n[e].tolist()) for n, e in zip(bottleneck.neighbours, bottleneck.exists, strict=True)]
    # 0 1 2
    # 3 4 5
    # 6 7 8
    assert found[4] == {4, 1, 7, 3, 5}
    assert found[0] == {0, 1, 3}
    assert found[5] == {5, 2, 4, 8}
    assert found[7] == {7, 6, 4, 8}


def test_neighbours_become_alike_on_the_grid():
    bottleneck = make("som_vae", "bottleneck.rows=6", "bottleneck.columns=1", "bottleneck.commitment_weight=0")
    codes = torch.linspace(-1, 1, 64).double()[:, None, None].expand(64, 1, d)
    optimizer = torch.optim.Adam(bottleneck.parameters(), lr=0.02)
    for _ in range(500):
        optimizer.zero_grad()
        bottleneck({"z_e": codes}, None).penalty.backward()
        optimizer.step()
    used = bottleneck({"z_e": codes}, None).taps["index"].unique()
    along = bottleneck.codewords.detach()[used].mean(1)
    steps = along.diff()
    assert len(used) > 2
    assert (steps > 0).all() or (steps < 0).all()  # in the order of the line


def test_the_decoder_reads_the_codeword_and_the_encoder_gets_no_copied_gradient():
    bottleneck = make("som_vae")
    z_e = random_heads(bottleneck)["z_e"].requires_grad_()
    latent = bottleneck({"z_e": z_e}, None)
    (found,) = torch.autograd.grad(latent.z.sum(), z_e, allow_unused=True)
    assert found is None


def test_a_grid_of_one_is_refused_by_key_and_value():
    with pytest.raises(Exception, match=r"rows \* bottleneck\.columns must be at least 2, got 1"):
        make("som_vae", "bottleneck.rows=1", "bottleneck.columns=1")
