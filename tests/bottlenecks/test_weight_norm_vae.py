"""Weight-normalised inference against Shu et al. (2018): every row of the encoder's weights has the norm H."""

import numpy as np
import pytest
import torch
import zoo
from golden import gaussian, golden
from torch import nn
from zoo import make


@golden("air_weight_norm")
def evaluate(now, held, given):
    z, kl = gaussian(now.encode(given.x), given.noise)
    kl_loss = kl.sum(1).mean()
    return {"z": z, "penalty": given.settings.kl_weight * kl_loss, "terms": {"kl_loss": kl_loss}}


@pytest.mark.parametrize("network", ["mlp", "conv", "conv_spatial"])
def test_every_row_of_the_encoder_has_the_norm_and_stays_there_in_training(network):
    net = zoo.model("air_weight_norm", network)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    for step in range(3):
        layers = [layer for layer in net.encoder.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        assert len(layers) >= 3
        for layer in layers:
            np.testing.assert_allclose(layer.weight.detach().flatten(1).norm(dim=1), 2.0, rtol=1e-5)
        optimizer.zero_grad()
        zoo.loss(net, step, network=network)["loss"].backward()
        optimizer.step()


def test_the_decoder_is_left_alone():
    net, vae = zoo.model("air_weight_norm"), zoo.model("vae")
    assert [name for name, _ in net.decoder.named_parameters()] == [name for name, _ in vae.decoder.named_parameters()]


def test_a_norm_of_zero_is_refused_by_key_and_value():
    with pytest.raises(Exception, match=r"bottleneck\.H must be above 0, got 0"):
        make("air_weight_norm", "bottleneck.H=0")
