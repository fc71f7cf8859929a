"""Sparse codes against Makhzani & Frey (2013), Gao et al. (2024) and Bussmann et al. (2024)."""

import numpy as np
import pytest
import torch
from golden import golden, reconstruction_losses
from zoo import B, M, d, make, random_heads


def evaluate(now, held, given, kept):
    settings = given.settings
    z_e, z_e_held = now.encode(given.x)["z_e"], held.encode(given.x)["z_e"]
    mask = kept(np.maximum(z_e_held, 0))
    z, z_held = np.maximum(z_e, 0) * mask, np.maximum(z_e_held, 0) * mask
    idle = held.weights["idle"]
    if given.training:
        idle = np.where((z_held > 0).any((0, 1)), 0, idle + 1)
    dead = idle >= settings.dead_after
    terms = {"kept_units": (z_held > 0).sum((1, 2)).mean(), "dead_units": dead.sum()}
    found = {"z": z, "penalty": 0.0, "terms": terms, "state": {"idle": idle}}
    if given.training:
        rec = reconstruction_losses(now.decode(z), given.x).mean()
        helping = np.zeros_like(z)
        for place in np.ndindex(z.shape[:2]):
            order = sorted(np.flatnonzero(dead), key=lambda unit, place=place: -z_e_held[place][unit])
            helping[place][order[: settings.revived]] = 1
        helped = z_held + np.log1p(np.exp(z_e)) * helping
        revival = dead.any() * reconstruction_losses(now.decode(helped), given.x).mean()
        found["terms"] = {"reconstruction_loss": rec, **terms, "revival_loss": revival}
        found["loss"] = rec + settings.revival_weight * revival
    return found


@golden("topk")
def evaluate_topk(now, held, given):
    def kept(active):
        return np.argsort(np.argsort(-active, -1, kind="stable"), -1, kind="stable") < given.settings.k

    return evaluate(now, held, given, kept)


@golden("batch_topk")
def evaluate_batch_topk(now, held, given):
    threshold, moved = held.weights["threshold"], []

    def kept(active):
        if not given.training:
            return active > threshold
        smallest = np.sort(active.ravel())[::-1][given.settings.k * active.size // active.shape[-1] - 1]
        mask = (active >= smallest) & (active > 0)
        least = active[mask].min()
        decay = given.settings.threshold_decay
        moved.append(least if threshold == 0 else decay * threshold + (1 - decay) * least)
        return mask

    found = evaluate(now, held, given, kept)
    return {**found, "state": {**found["state"], **({"threshold": moved[0]} if moved else {})}}


def test_top_k_keeps_the_largest_units_as_they_are():
    bottleneck = make("topk", "bottleneck.k=2")
    z_e = torch.tensor([[[3.0, -1.0, 2.0, 5.0, 4.0], [-1.0, -2.0, 0.5, -3.0, -4.0]]]).double()
    z = bottleneck({"z_e": z_e}, None).z
    assert z.tolist() == [[[0, 0, 0, 5, 4], [0, 0, 0.5, 0, 0]]]


def test_batch_top_k_keeps_k_units_a_code_on_average():
    bottleneck = make("batch_topk", "bottleneck.k=2")
    heads = {"z_e": random_heads(bottleneck)["z_e"].abs() * torch.linspace(0.1, 3, B).double()[:, None, None]}
    on = (bottleneck(heads, None).z > 0).sum((1, 2))
    assert on.sum() == 2 * B * M
    assert on[0] < on[-1]  # larger codes keep more


def test_the_threshold_of_evaluation_keeps_about_as_many():
    bottleneck = make("batch_topk", "bottleneck.k=2", "bottleneck.threshold_decay=0.9")
    for _ in range(100):
        bottleneck(random_heads(bottleneck, 256), None)
    on = (bottleneck.eval()(random_heads(bottleneck, 256), None).z > 0).double().sum(-1).mean()
    assert on.item() == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("name", ["topk", "batch_topk"])
def test_a_batch_without_a_positive_unit_gives_zeros_and_leaves_the_state_a_number(name):
    bottleneck = make(name)
    latent = bottleneck({"z_e": -torch.ones(B, M, d).double()}, None)
    assert not latent.z.any()
    assert all(torch.isfinite(value).all() for value in bottleneck.state_dict().values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["topk", "batch_topk"])
def test_dead_units_come_back(name):
    """A linear autoencoder whose last units begin far below zero uses them after all."""

    def used(weight: float) -> int:
        torch.manual_seed(0)
        bottleneck = make(name, f"bottleneck.revival_weight={weight}", "bottleneck.k=1", "bottleneck.dead_after=10")
        bias = torch.tensor([0.0, 0.0, 0.0, -3.0, -3.0]).double().requires_grad_()
        encoder = torch.randn(4, d).double().requires_grad_()
        decoder = torch.randn(d, 4).double().requires_grad_()

        class Coder:
            penalty_weight = 1.0

            def encode_pixels(self, x):
                return {"z_e": (x.flatten(1) @ encoder + bias)[:, None]}

            def decode(self, z):
                return (z[:, 0] @ decoder).reshape(-1, 2, 2, 1)

            def reconstruction_loss(self, reconstruction, x):
                return (reconstruction - x).square().sum() / len(x)

        optimizer = torch.optim.Adam([encoder, bias, decoder], lr=0.02)
        x = torch.eye(4).double().repeat(4, 1).reshape(16, 2, 2, 1)
        for _ in range(400):
            optimizer.zero_grad()
            bottleneck.objective(Coder(), x, None, None).loss.backward()
            optimizer.step()
        return int((bottleneck.idle < 10).sum())

    assert used(1.0) > used(0.0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("k=9", r"bottleneck\.k must be at most 5, got 9"),
        ("revived=0", r"bottleneck\.revived must be at least 1, got 0"),
        ("dead_after=0", r"bottleneck\.dead_after must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused_by_key_and_value(setting, message):
    with pytest.raises(Exception, match=message):
        make("topk", f"bottleneck.{setting}")
