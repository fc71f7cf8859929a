"""Hard vector quantization against eq. (1) of Wu & Flierl (2019), and what codebooks start from."""

import math

import numpy as np
import pytest
import torch
from golden import golden
from golden import squared_distances as numpy_distances

from softvq.bottlenecks.codebook import (
    squared_distances,
    straight_through,
    truncated_normal_scaling,
    uniform_unit_scaling,
)
from softvq.bottlenecks.vq import VectorQuantizer


@golden("vq")
def evaluate(now, held, given):
    z, z_held = now.encode(given.x)["z_e"], held.encode(given.x)["z_e"]
    index = numpy_distances(z_held, held.weights["codebook"]).argmin(-1)
    z_q, z_q_held = now.weights["codebook"][index], held.weights["codebook"][index]
    codebook_loss = ((z_held - z_q) ** 2).sum((1, 2)).mean()
    commitment_loss = ((z - z_q_held) ** 2).sum((1, 2)).mean()
    return {
        "z": z + (z_q_held - z_held),
        "penalty": given.settings.codebook_weight * codebook_loss + given.settings.commitment_weight * commitment_loss,
        "terms": {"codebook_loss": codebook_loss, "commitment_loss": commitment_loss},
        "taps": {"z_q": z_q_held, "index": index},
    }


def quantizer(codebook: torch.Tensor, **changes) -> VectorQuantizer:
    K, d = codebook.shape
    settings = {"codebook_weight": 1.0, "commitment_weight": 1.0, "reduction": "sum", **changes}
    return VectorQuantizer(d=d, K=K, codebook_init=lambda K, d: codebook.clone(), **settings)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize(("B", "M", "d", "K"), [(1, 1, 1, 2), (6, 1, 4, 9), (3, 4, 2, 5), (40, 2, 16, 33)])
def test_vq_equals_its_equations_in_numpy(B, M, d, K, reduction):
    codebook, z_e = torch.randn(K, d).double(), torch.randn(B, M, d).double()
    latent = quantizer(codebook, codebook_weight=1.3, commitment_weight=0.4, reduction=reduction)({"z_e": z_e}, None)

    mu, z = codebook.numpy(), z_e.numpy()
    index = np.array([[np.argmin([np.linalg.norm(v - m) for m in mu]) for v in image] for image in z])  # eq. (1)
    z_q = mu[index]
    squares = ((z - z_q) ** 2).reshape(B, M * d)
    term = (squares.sum(1) if reduction == "sum" else squares.mean(1)).mean()
    tight = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(latent.z.detach(), z_q, **tight)
    np.testing.assert_allclose(latent.penalty.item(), 1.3 * term + 0.4 * term, **tight)
    expected = {"codebook_loss": term, "commitment_loss": term}
    assert latent.terms.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(latent.terms[name].item(), value, err_msg=name, **tight)
    assert latent.taps.keys() == {"z_e", "z_q", "index"}
    np.testing.assert_array_equal(latent.taps["z_e"], z)
    np.testing.assert_array_equal(latent.taps["index"], index)
    np.testing.assert_allclose(latent.taps["z_q"].detach(), z_q, **tight)


def test_ties_between_equal_codewords_go_to_the_lowest_index():
    for K, d in ((2, 1), (33, 7), (128, 64), (512, 256)):
        distinct = torch.randn(K - K // 2, d)
        codebook = torch.cat([distinct, distinct])[torch.randperm(K)]
        z_e = torch.randn(50, 1, d)
        index = quantizer(codebook)({"z_e": z_e}, None).taps["index"]
        for chosen in index.flatten().tolist():
            assert not (codebook[:chosen] == codebook[chosen]).all(-1).any()


def test_ties_between_codewords_at_one_distance_go_to_the_lowest_index():
    # Whole numbers: every distance is exact.
    codebook = torch.tensor([[9.0, 9.0], [0.0, 2.0], [2.0, 0.0], [0.0, -2.0], [-2.0, 0.0]])
    z_e = torch.tensor([[[0.0, 0.0]], [[1.0, 1.0]], [[1.0, -1.0]], [[-1.0, -1.0]]])
    assert quantizer(codebook)({"z_e": z_e}, None).taps["index"].flatten().tolist() == [1, 1, 2, 3]


def test_nearest_codeword_is_found_where_distances_differ_in_the_last_digits():
    # At 1000 from zero float32 resolves squared distances of 1e6 to 0.06; these two differ by 0.003.
    codebook = torch.tensor([[1000.0, 0.03], [1000.0, 0.02], [0.0, 0.0]])
    z_e = torch.tensor([[[1000.0, -0.05]]])
    assert quantizer(codebook)({"z_e": z_e}, None).taps["index"].item() == 1


# --- gradients


def gradients(part):
    codebook, z_e = torch.randn(6, 3).double(), torch.randn(4, 2, 3).double().requires_grad_()
    bottleneck = quantizer(codebook)
    latent = bottleneck({"z_e": z_e}, None)
    found = torch.autograd.grad(part(latent), (z_e, bottleneck.codebook), allow_unused=True)
    return latent, z_e.detach(), codebook, found


def test_codebook_term_trains_the_chosen_codewords_alone():
    latent, z_e, codebook, (to_z_e, to_codebook) = gradients(lambda latent: latent.terms["codebook_loss"])
    expected = torch.zeros_like(codebook)
    for code, k in zip(z_e.flatten(0, 1), latent.taps["index"].flatten(), strict=True):
        expected[k] += 2 * (codebook[k] - code) / len(z_e)
    assert to_z_e is None
    torch.testing.assert_close(to_codebook, expected)


def test_commitment_term_trains_the_encoder_alone():
    latent, z_e, codebook, (to_z_e, to_codebook) = gradients(lambda latent: latent.terms["commitment_loss"])
    torch.testing.assert_close(to_z_e, 2 * (z_e - codebook[latent.taps["index"]]) / len(z_e))
    assert to_codebook is None


def test_decoder_gradient_is_copied_to_the_encoder():
    from_decoder = torch.randn(4, 2, 3).double()
    _, _, _, (to_z_e, to_codebook) = gradients(lambda latent: (latent.z * from_decoder).sum())
    assert torch.equal(to_z_e, from_decoder)
    assert to_codebook is None


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other():
    z, q = torch.randn(5).double().requires_grad_(), torch.randn(5).double().requires_grad_()
    output = straight_through(z, q)
    to_z, to_q = torch.autograd.grad((output**2).sum(), (z, q), allow_unused=True)
    torch.testing.assert_close(output, q)
    torch.testing.assert_close(to_z, 2 * q)
    assert to_q is None


# --- codebooks at the start


@pytest.mark.parametrize(("K", "d"), [(512, 64), (128, 256), (2000, 3)])
def test_uniform_codebook_has_unit_norm_codewords_in_expectation(K, d):
    codebook = uniform_unit_scaling(K, d)
    limit = math.sqrt(3 / d)  # variance limit^2 / 3 = 1 / d for each of d numbers
    assert codebook.shape == (K, d)
    assert 0.99 * limit < codebook.max() <= limit
    assert -limit <= codebook.min() < -0.99 * limit
    # The fourth moment of a uniform is 9/5 variance^2, so a squared norm has variance (9/5 - 1) / d.
    error = math.sqrt(0.8 / d / K)
    assert codebook.square().sum(1).mean().item() == pytest.approx(1, abs=4.5 * error)


@pytest.mark.parametrize(("K", "d"), [(512, 64), (128, 256), (2000, 3)])
def test_truncated_normal_codebook_has_variance_one_over_d_and_is_cut_at_two_deviations(K, d):
    # A standard normal cut at +-2 has variance 1 - 4 phi(2) / (2 Phi(2) - 1) = 0.7737.
    variance = 1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))
    codebook = truncated_normal_scaling(K, d)
    cut = 2 / math.sqrt(d * variance)
    assert codebook.shape == (K, d)
    assert 0.97 * cut < codebook.abs().max() <= cut
    assert (codebook.square().mean() * d).item() == pytest.approx(1, abs=4.5 * math.sqrt(1.4 / (K * d)))


@pytest.mark.parametrize("init", [uniform_unit_scaling, truncated_normal_scaling])
def test_codebook_is_what_its_initialiser_gives_and_trains(init):
    bottleneck = VectorQuantizer(
        d=5, K=9, codebook_weight=1.0, commitment_weight=1.0, reduction="sum", codebook_init=init
    )
    torch.manual_seed(3)
    again = VectorQuantizer(d=5, K=9, codebook_weight=1.0, commitment_weight=1.0, reduction="sum", codebook_init=init)
    torch.manual_seed(3)
    assert torch.equal(again.codebook, init(9, 5))
    assert not torch.equal(again.codebook, bottleneck.codebook)
    assert [name for name, parameter in bottleneck.named_parameters() if parameter.requires_grad] == ["codebook"]


# --- settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codebook_weight": -1.0}, "bottleneck.codebook_weight must be at least 0, got -1.0"),
        ({"commitment_weight": math.nan}, "bottleneck.commitment_weight must be at least 0, got nan"),
        ({"reduction": "max"}, "bottleneck.reduction must be one of sum, mean, got 'max'"),
    ],
)
def test_settings_out_of_range_are_refused_by_key_and_value(changes, message):
    with pytest.raises(ValueError, match=message):
        quantizer(torch.randn(4, 3), **changes)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 3), "bottleneck.K must be at least 2, got 1"), ((4, 0), "network.d must be at least 1, got 0")],
)
def test_too_few_codewords_or_units_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        quantizer(torch.zeros(shape))


def test_distances_refuse_a_code_of_another_width():
    with pytest.raises(ValueError, match=r"width 5 .* d = 3; set network\.d"):
        squared_distances(torch.zeros(2, 1, 5), torch.zeros(4, 3))
