"""Soft VQ with one variance for all codewords is soft VQ whose variances are equal."""

from functools import partial

import numpy as np
import torch
from golden import golden, softmax, squared_distances

from softvq.bottlenecks.codebook import uniform_unit_scaling
from softvq.bottlenecks.soft_vq import EqualVarianceSoftVQ, SoftVQ

B, M, K, D = 6, 2, 5, 3


@golden("soft_vq_equal_variance")
def evaluate(now, held, given):
    """A softmax of the distances alone: the variances' determinant is the same for every codeword."""

    def quantized(world):
        heads = world.encode(given.x)
        noisy = heads["z_e"] if given.noise is None else heads["z_e"] + given.settings.sigma_eps * given.noise
        w = softmax(-squared_distances(noisy, world.weights["codebook"]) / (2 * np.exp(heads["log_var"])))
        return heads, noisy, w, w @ world.weights["codebook"]

    heads, noisy, w, z_q = quantized(now)
    held_heads, held_noisy, _, held_z_q = quantized(held)
    terms = {
        "codebook_loss": ((held_noisy - z_q) ** 2).sum((1, 2)).mean(),
        "commitment_loss": ((noisy - held_z_q) ** 2).sum((1, 2)).mean(),
    }
    return {
        "z": heads["z_e"] + (held_z_q - held_heads["z_e"]),
        "penalty": sum(getattr(given.settings, name.replace("loss", "weight")) * term for name, term in terms.items()),
        "terms": {**terms, "log_var": heads["log_var"].mean()},
        "taps": {"z_q": held_z_q, "posterior": w, "index": w.argmax(-1)},
    }


def test_it_is_soft_vq_with_equal_variances() -> None:
    codebook = uniform_unit_scaling(K, D)
    make = {"d": D, "K": K, "sigma_eps": 0.1, "codebook_weight": 2.0, "commitment_weight": 0.5, "reduction": "sum"}
    own, each = (form(**make, codebook_init=partial(_given, codebook)) for form in (EqualVarianceSoftVQ, SoftVQ))
    z_e, log_var, noise = torch.randn(B, M, D), torch.randn(B, M, 1), torch.randn(B, M, D)
    one = own({"z_e": z_e, "log_var": log_var}, noise)
    all_equal = each({"z_e": z_e, "log_var": log_var.expand(B, M, K)}, noise)
    torch.testing.assert_close(one.penalty, all_equal.penalty)
    for name in ("z_q", "posterior", "index"):
        torch.testing.assert_close(one.taps[name], all_equal.taps[name])


def test_its_encoder_gives_a_single_variance() -> None:
    settings = {"sigma_eps": 0.0, "codebook_weight": 1.0, "commitment_weight": 1.0, "reduction": "sum"}
    form = EqualVarianceSoftVQ(d=D, K=K, codebook_init=uniform_unit_scaling, **settings)
    assert form.heads == {"z_e": D, "log_var": 1}


def test_the_variance_moves_weights_and_not_the_nearest_codeword() -> None:
    settings = {"sigma_eps": 0.0, "codebook_weight": 1.0, "commitment_weight": 1.0, "reduction": "sum"}
    form = EqualVarianceSoftVQ(d=1, K=2, codebook_init=lambda K, d: torch.tensor([[0.0], [1.0]]), **settings)
    z_e = torch.full((1, 1, 1), 0.25)
    # Squared distances 1/16 and 9/16: the logits differ by 1/4 at unit variance, by 1 at variance 1/4.
    for log_var, gap in ((0.0, 0.25), (torch.tensor(0.25).log().item(), 1.0)):
        posterior = form({"z_e": z_e, "log_var": torch.full((1, 1, 1), log_var)}, None).taps["posterior"]
        torch.testing.assert_close(posterior[0, 0, 0], torch.sigmoid(torch.tensor(gap)))


def _given(codebook: torch.Tensor, K: int, d: int) -> torch.Tensor:
    return codebook.clone()
