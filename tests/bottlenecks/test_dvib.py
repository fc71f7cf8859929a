"""The deep variational information bottleneck against Alemi et al. (2017)."""

import numpy as np
import pytest
import torch
import zoo
from golden import golden, reconstruction_losses, softmax
from zoo import make


@golden("dvib")
def evaluate(now, held, given):
    def drawn(world):
        heads = world.encode(given.x)
        mean, std = heads["z_e"], np.log1p(np.exp(heads["scale"] - 5))
        return mean, std, mean if given.noise is None else mean + std * given.noise

    (mean, std, z), (_, _, z_held) = drawn(now), drawn(held)
    kl = ((mean**2 + std**2 - 2 * np.log(std) - 1) / 2).sum(-1)
    rec = reconstruction_losses(now.decode(z_held), given.x).mean()
    logits = z.mean(1) @ now.weights["classifier.weight"].T + now.weights["classifier.bias"]
    ce = -np.log(softmax(logits)[np.arange(len(logits)), given.labels]).mean()
    return {
        "z": z,
        "loss": rec + given.penalty_weight * given.settings.kl_weight * kl.sum(1).mean() + ce,
        "terms": {"reconstruction_loss": rec, "kl_loss": kl.sum(1).mean(), "classification_loss": ce},
        "taps": {"log_var": 2 * np.log(std), "rate": kl / np.log(2)},
    }


def test_nothing_of_the_reconstruction_reaches_the_encoder():
    net = zoo.model("dvib")
    x = net.pixels(zoo.images())
    objective = net.bottleneck.objective(net, x, zoo.noise_of(net, 0), zoo.labels())
    objective.terms["reconstruction_loss"].backward()
    assert all(p.grad is None for p in net.encoder.parameters())
    assert all(p.grad is None for p in net.bottleneck.parameters())
    assert any(p.grad.any() for p in net.decoder.parameters())


def test_it_learns_the_labels():
    net = zoo.model("dvib")
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for step in range(60):
        optimizer.zero_grad()
        terms = net.loss(zoo.images(), zoo.noise_of(net, step), zoo.labels())[0]
        terms["loss"].backward()
        optimizer.step()
    assert terms["classification_loss"] < 0.1


def test_without_labels_there_is_no_classification_term():
    net = zoo.model("dvib").eval()
    assert "classification_loss" not in net.loss(zoo.images())[0]


def test_data_without_labels_are_refused_in_plain_words():
    with pytest.raises(ValueError, match="dvib learns from labels, but the data have 0 classes"):
        make("dvib").attach((2, 2, 1), 0, torch.nn.Identity, 1.0)
