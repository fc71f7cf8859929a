"""The codebook of moving averages against van den Oord et al. (2017), appendix A.1, and how it starts and revives."""

import numpy as np
import pytest
import torch
from golden import followed, golden, squared_distances
from zoo import B, K, M, d, draw, make, random_heads

from softvq.bottlenecks.moving_average import MovingAverageCodebook, assignment


@golden("vq_ema", "vq_ema_kmeans", "vq_ema_revival")
def evaluate(now, held, given):
    z, z_held = now.encode(given.x)["z_e"], held.encode(given.x)["z_e"]
    mu = held.weights["codebook.codewords"]
    index = squared_distances(z_held, mu).argmin(-1)
    z_q = mu[index]
    state = {}
    if given.training:
        rows = z_held.reshape(-1, z_held.shape[-1])
        state = followed(held.weights, rows, np.eye(len(mu))[index.ravel()], given)
        if given.noise is not None:
            N_k, m_k, mu_k = (state[f"codebook.{name}"] for name in ("counts", "sums", "codewords"))
            mean, order = N_k.mean(), np.argsort(given.noise.ravel())
            dead = [k for k in range(len(mu)) if N_k[k] < given.settings.dead_below * mean]
            for turn, k in enumerate(dead):
                code = rows[order[turn % len(rows)]]
                mu_k[k], m_k[k], N_k[k] = code, mean * code, mean
    commitment_loss = ((z - z_q) ** 2).mean()
    return {
        "z": z + (z_q - z_held),
        "penalty": given.mean_scale * given.settings.commitment_weight * commitment_loss,
        "terms": {"commitment_loss": commitment_loss},
        "taps": {"z_q": z_q, "index": index},
        "state": state,
    }


def codebook(K=6, d=3, decay=0.9):
    return MovingAverageCodebook(K, d, decay, 1e-5, torch.randn).double()


def test_codewords_become_the_means_of_the_codes_assigned_to_them():
    book, means = codebook(), torch.randn(6, 3).double()
    index = torch.arange(6).repeat(20)[None]
    for _ in range(200):
        noise = 0.1 * torch.randn(1, 120, 3).double()
        noise -= noise.unflatten(1, (20, 6)).mean(1).repeat(1, 20, 1)  # each codeword's codes have its mean
        book.update(means[index] + noise, assignment(index, 6, torch.float64))
    torch.testing.assert_close(book.codewords, means, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(book.counts, torch.full((6,), 20.0).double())


def test_a_codeword_that_nothing_is_assigned_to_stays_where_it_is():
    book = codebook()
    before = book.codewords.clone()
    index = torch.zeros(1, 5, dtype=torch.int64)
    for _ in range(20):
        book.update(torch.randn(1, 5, 3).double(), assignment(index, 6, torch.float64))
    torch.testing.assert_close(book.codewords[1:], before[1:], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(book.codewords[0], before[0])


@pytest.mark.parametrize("scale", [1, 3])
def test_the_counts_add_up_to_the_codes_of_a_batch(scale):
    bottleneck = make("vq_ema", "bottleneck.decay=0.5")
    for seed in range(60):
        bottleneck(random_heads(bottleneck, scale * B), draw(bottleneck, scale * B, seed))
    assert bottleneck.codebook.counts.sum().item() == pytest.approx(scale * B * M)


def test_the_k_means_start_finds_planted_centres_and_begins_training_from_them():
    bottleneck = make("vq_ema_kmeans")
    assert bottleneck.codes_to_start == 10 * K
    centres = 10 * torch.randn(K, d).double()
    bottleneck.start(centres.repeat(10, 1) + 0.01 * torch.randn(10 * K, d).double())
    nearest = torch.cdist(centres, bottleneck.codewords)
    assert sorted(nearest.argmin(1).tolist()) == list(range(K))
    assert nearest.min(1).values.max() < 0.05
    torch.testing.assert_close(bottleneck.codebook.sums, bottleneck.codewords)


def test_a_k_means_start_from_too_few_codes_is_refused_by_key_and_value():
    with pytest.raises(ValueError, match=rf"bottleneck\.K is {K}, but there are only 3 training codes"):
        make("vq_ema_kmeans").start(torch.randn(3, d).double())


def test_dead_codewords_are_put_onto_codes_of_the_batch_each_of_them_once():
    book, z = codebook(K=5), torch.randn(2, 4, 3).double()
    book.counts.copy_(torch.tensor([1.0, 0.001, 1.0, 0.002, 0.003]))
    before = book.codewords.clone()
    scores = torch.tensor([[0.9, 0.1, 0.8, 0.7], [0.3, 0.6, 0.2, 0.5]])
    book.revive(z, scores, below=0.1)
    expected = before.clone()
    expected[[1, 3, 4]] = torch.stack([z[0, 1], z[1, 2], z[1, 0]])  # by rising scores
    torch.testing.assert_close(book.codewords, expected)
    assert (book.counts > 0.1 * book.counts.mean()).all()


def test_more_dead_codewords_than_codes_share_them():
    book, z = codebook(K=7), torch.randn(1, 2, 3).double()
    book.counts.copy_(torch.tensor([10.0] + 6 * [0.0]))
    book.revive(z, torch.tensor([[0.2, 0.1]]), below=0.1)
    torch.testing.assert_close(book.codewords[1:], z[0, [1, 0, 1, 0, 1, 0]])


def test_revival_keeps_alive_what_plain_averages_leave_dead():
    used = {}
    for name in ("vq_ema", "vq_ema_revival"):
        bottleneck = make(name, "bottleneck.decay=0.9")
        codes = 5 + torch.randn(64, M, d).double()  # far from where the codewords start
        for seed in range(100):
            latent = bottleneck({"z_e": codes}, draw(bottleneck, 64, seed))
        used[name] = len(latent.taps["index"].unique())
    assert used["vq_ema_revival"] == K > used["vq_ema"]


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("vq_ema", "decay=1.5", r"bottleneck\.decay must be at most 1, got 1\.5"),
        ("vq_ema", "smoothing=-1", r"bottleneck\.smoothing must be at least 0, got -1"),
        ("vq_ema", "commitment_weight=-1", r"bottleneck\.commitment_weight must be at least 0, got -1"),
        ("vq_ema_kmeans", "codes_per_codeword=0", r"bottleneck\.codes_per_codeword must be at least 1, got 0"),
        ("vq_ema_revival", "dead_below=2", r"bottleneck\.dead_below must be at most 1, got 2"),
    ],
)
def test_settings_out_of_range_are_refused_by_key_and_value(name, setting, message):
    with pytest.raises(Exception, match=message):
        make(name, f"bottleneck.{setting}")
