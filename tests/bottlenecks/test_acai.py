"""ACAI against Berthelot et al. (2018): who learns from what."""

import numpy as np
import pytest
import torch
import zoo
from golden import golden, reconstruction_losses
from zoo import make

from softvq.bottlenecks.acai import _partners


@golden("acai")
def evaluate(now, held, given):
    z, z_held = now.encode(given.x)["z_e"], held.encode(given.x)["z_e"]
    rec = reconstruction_losses(now.decode(z), given.x).mean()
    if given.noise is None:
        return {"z": z, "loss": rec, "terms": {"reconstruction_loss": rec}}

    def mixed(world, codes):
        share, partners = given.noise[:, None, None], codes.reshape(-1, 2, *codes.shape[1:])[:, ::-1]
        return world.decode(share * codes + (1 - share) * partners.reshape(codes.shape))

    def critic(world, images):
        return np.tanh(images.reshape(len(images), -1) @ world.weights["critic.heads.score"]).mean(-1)

    g, settings = given.settings.reconstruction_share, given.settings
    deception = (critic(held, mixed(now, z)) ** 2).mean()
    between = g * given.x + (1 - g) * held.decode(z_held)
    guess = ((critic(now, mixed(held, z_held)) - given.noise) ** 2).mean() + (critic(now, between) ** 2).mean()
    return {
        "z": z,
        "loss": rec + given.penalty_weight * given.mean_scale * settings.critic_weight * deception + guess,
        "terms": {"reconstruction_loss": rec, "deception_loss": deception, "critic_loss": guess},
    }


def test_partners_are_neighbours_and_the_last_of_an_odd_batch_keeps_to_itself():
    z = torch.arange(5.0)[:, None, None]
    assert _partners(z).flatten().tolist() == [1, 0, 3, 2, 4]


def test_shares_are_between_zero_and_one_half():
    noise = make("acai").draw_noise(4000, 1, torch.Generator().manual_seed(0))
    assert 0 <= noise.min() < 0.001
    assert 0.499 < noise.max() <= 0.5


def test_the_critic_learns_to_guess_the_share_of_a_fixed_autoencoder():
    net = zoo.model("acai")
    optimizer = torch.optim.Adam(net.bottleneck.critic.parameters(), lr=0.01)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        terms = net.loss(zoo.images(), zoo.noise_of(net, 0))[0]
        terms["loss"].backward()
        optimizer.step()
        losses.append(terms["critic_loss"].item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_critic_may_learn_at_its_own_rate():
    bottleneck = make("acai", "bottleneck.critic_lr=0.5")
    assert bottleneck.learning_rates == {"critic": 0.5}


def test_a_share_above_one_is_refused_by_key_and_value():
    with pytest.raises(Exception, match=r"bottleneck\.reconstruction_share must be at most 1, got 2"):
        make("acai", "bottleneck.reconstruction_share=2")
