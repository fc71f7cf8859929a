"""The health panel: planted codes give computed values, whatever the batches, steps or devices they came in."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_sum

from softvq.bottlenecks.base import Latent
from softvq.bottlenecks.codebook import uniform_unit_scaling
from softvq.bottlenecks.soft_vq import ReleasedMNISTSoftVQ, SoftVQ
from softvq.bottlenecks.vae import GaussianPosterior
from softvq.bottlenecks.vq import VectorQuantizer
from softvq.health import PATIENCE, CollapseWatch, Health, collapse, panel, statistics


def latent(z_e: Tensor, **taps: Tensor) -> Latent:
    return Latent(z=z_e, penalty=z_e.new_zeros(()), taps={"z_e": z_e, **taps})


def numbers(z_e: Tensor, codewords: Tensor | None = None, **taps: Tensor) -> dict[str, float | int]:
    return panel(statistics(latent(z_e, **taps), codewords))


def of_index(index: Tensor, K: int) -> dict[str, float | int]:
    """The panel of a hard quantizer of K codewords that chose these, (B, M)."""
    return numbers(torch.randn(*index.shape[:2], 2), torch.randn(K, 2), index=index)


def test_three_live_codewords_of_sixteen_are_thirteen_dead():
    found = of_index(torch.tensor([2, 5, 5, 11, 2, 11, 5, 2]).repeat(10)[:, None], K=16)
    share = np.array([3, 3, 2]) / 8
    assert found["dead_codes"] == 13
    assert found["perplexity"] == pytest.approx(np.exp(-(share * np.log(share)).sum()))
    assert found["perplexity"] <= 3
    assert found["mutual_information"] == found["rate"] == pytest.approx(-(share * np.log2(share)).sum())
    assert [name for name, _ in collapse(found)] == ["perplexity"]


def test_each_part_of_a_code_that_is_cut_into_parts_counts():
    # Three parts a position, two positions, four codewords used alike: 6 * 2 bits an image.
    index = torch.arange(4).repeat(60).reshape(40, 2, 3)
    found = of_index(index, K=4)
    assert found["perplexity"] == pytest.approx(4)
    assert found["mutual_information"] == found["rate"] == pytest.approx(12)


def test_stages_with_codewords_of_their_own_tell_no_more_than_their_bits():
    # Two stages of four codewords each, used alike: 2 + 2 bits, though eight codewords are in use.
    index = torch.stack([torch.arange(4).repeat(16), 4 + torch.arange(4).repeat_interleave(16)], -1)[:, None]
    found = of_index(index, K=8)
    assert (found["perplexity"], found["dead_codes"]) == (pytest.approx(8), 0)
    assert found["mutual_information"] == found["rate"] == pytest.approx(4)


def test_perplexity_is_k_when_all_codewords_are_used_alike():
    found = of_index(torch.arange(16).repeat(4)[:, None], K=16)
    assert found["perplexity"] == pytest.approx(16)
    assert (found["dead_codes"], found["rate"]) == (0, pytest.approx(4))
    assert not collapse(found)


def test_bits_are_an_images_and_not_a_positions():
    found = of_index(torch.arange(16).repeat(4).reshape(16, 4), K=16)  # 4 positions of 4 bits each
    assert found["rate"] == found["mutual_information"] == pytest.approx(16)
    assert found["units"] == 8


def test_a_posterior_over_all_codewords_has_no_dead_weight_though_one_is_always_chosen():
    w = torch.full((6, 1, 4), 0.2)
    w[:, :, 1] = 0.4
    found = numbers(torch.randn(6, 1, 2), torch.randn(4, 2), posterior=w, index=w.argmax(-1))
    entropy = -(0.4 * math.log(0.4) + 3 * 0.2 * math.log(0.2))
    assert (found["perplexity"], found["dead_codes"]) == (1, 3)
    assert found["posterior_entropy"] == pytest.approx(entropy)
    assert found["posterior_perplexity"] == pytest.approx(math.exp(entropy))
    assert found["mutual_information"] == pytest.approx(0, abs=1e-6)
    assert "rate" not in found  # the weighted sum of codewords is a continuous code: its rate is not the index's


def test_mutual_information_of_a_noisy_index_by_hand():
    # Two kinds of image with posteriors (3/4, 1/4) and (1/4, 3/4): I = 1 bit - h(1/4).
    w = torch.tensor([[[0.75, 0.25]], [[0.25, 0.75]]])
    found = numbers(torch.randn(2, 1, 3), posterior=w)
    assert found["mutual_information"] == pytest.approx(1 + 0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))


def test_weights_that_do_not_sum_to_one_count_as_their_shares():
    w = torch.softmax(torch.randn(50, 1, 8), -1)
    scaled = numbers(torch.zeros(50, 1, 2), posterior=w * torch.rand(50, 1, 1).add(0.1))
    for name, value in numbers(torch.zeros(50, 1, 2), posterior=w).items():
        assert scaled[name] == pytest.approx(value, rel=1e-5), name


def test_sigma_spread_is_the_deviation_of_ln_sigma():
    log_std = torch.tensor([0.0, 1.0, 2.0, 3.0]).expand(5, 2, 4)
    w = torch.full((5, 2, 4), 0.25)
    expected = math.sqrt(1.25)
    assert numbers(torch.zeros(5, 2, 3), posterior=w, log_std=log_std)["sigma_spread"] == pytest.approx(expected)
    assert numbers(torch.zeros(5, 2, 3), posterior=w, log_var=2 * log_std)["sigma_spread"] == pytest.approx(expected)
    equal = numbers(torch.zeros(5, 2, 3), posterior=w, log_var=torch.full_like(w, 0.7))
    assert equal["sigma_spread"] == pytest.approx(0, abs=1e-12)


def test_two_used_units_of_a_vae_are_two_active_ones():
    z_e = 1e-3 * torch.randn(1000, 1, 64)
    z_e[..., :2] = 0.98 * torch.randn(1000, 1, 2)
    log_var = torch.zeros(1000, 1, 64)
    log_var[..., :2] = math.log(0.02)
    found = numbers(z_e, log_var=log_var)
    assert found["active_units"] == 2
    assert found["effective_rank"] == pytest.approx(2, abs=0.05)
    assert [name for name, _ in collapse(found)] == ["active_units"]


def test_no_unit_of_a_vae_at_its_prior_is_active():
    found = numbers(1e-4 * torch.randn(500, 1, 8), log_var=1e-4 * torch.randn(500, 1, 8))
    assert found["active_units"] == 0
    assert found["mutual_information_bound"] < 0.01
    (name, text), = collapse(found)  # fmt: skip
    assert name == "active_units"
    assert "0 of 8 units" in text
    assert "lower the KL's weight" in text


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_active_units_do_not_depend_on_the_codes_scale(scale):
    z_e = torch.randn(400, 1, 10) * torch.tensor([1.0] * 4 + [0.5] * 3 + [1e-3] * 3)
    assert numbers(scale * (z_e + 2))["active_units"] == 7


@pytest.mark.parametrize("value", [0.0, 0.3, -1e3])
def test_a_constant_code_has_no_active_unit_and_no_rank(value):
    constant = torch.full((100, 2, 5), value)
    jitter = constant * (1 + 1e-7 * torch.randn(100, 2, 5))  # rounding
    for code in (constant, jitter):
        found = numbers(code)
        assert (found["active_units"], found["effective_rank"]) == (0, 0)
        assert "active_units" in dict(collapse(found))


def test_effective_rank_is_the_number_of_equal_directions():
    basis = torch.linalg.qr(torch.randn(8, 8)).Q[:3]
    z = torch.randn(20_000, 1, 3) @ basis
    assert numbers(z + 5)["effective_rank"] == pytest.approx(3, abs=0.01)
    uneven = torch.randn(100_000, 1, 2) * torch.tensor([3.0, 1.0])  # eigenvalues 9 and 1
    assert numbers(uneven)["effective_rank"] == pytest.approx(
        math.exp(-(0.9 * math.log(0.9) + 0.1 * math.log(0.1))), abs=0.02
    )


def test_what_differs_between_positions_alone_is_no_variation():
    z = torch.arange(12.0).reshape(1, 3, 4).repeat(50, 1, 1)
    found = numbers(z)
    assert found["active_units"] == found["effective_rank"] == found["code_scale"] == 0


def test_second_moments_survive_a_large_offset():
    z = torch.randn(1000, 1, 4)
    assert numbers(z + 1e3)["code_scale"] == pytest.approx(numbers(z)["code_scale"], rel=1e-4)


def test_the_gaussian_bound_is_the_channels_capacity():
    # x ~ N(0, 1) through z = a x + s n: I = log2(1 + a^2 / s^2) / 2, and the bound is tight.
    a, s = 3.0, 0.5
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(200_000)).reshape(-1, 1, 1)
    found = numbers(a * x, log_var=torch.full_like(x, 2 * math.log(s)))
    assert found["mutual_information_bound"] == pytest.approx(0.5 * math.log2(1 + (a / s) ** 2), rel=0.01)


def test_the_bound_lies_below_the_rate_and_the_rate_is_the_kl_in_bits():
    heads = {"z_e": torch.randn(300, 2, 5), "log_var": torch.randn(300, 2, 5)}
    vae = GaussianPosterior(5, kl_weight=1.0)
    out = vae(heads, None)
    found = panel(statistics(out, None))
    assert found["rate"] == pytest.approx(out.terms["kl_loss"].item() / math.log(2), rel=1e-6)
    assert 0 < found["mutual_information_bound"] <= found["rate"]


def vq() -> tuple[Callable[[Tensor], Latent], Tensor]:
    bottleneck = VectorQuantizer(6, 20, 1.0, 0.25, "sum", uniform_unit_scaling)
    return lambda z: bottleneck({"z_e": z}, None), bottleneck.codebook


def soft_vq() -> tuple[Callable[[Tensor], Latent], Tensor]:
    bottleneck = SoftVQ(6, 20, 0.0, 1.0, 1.0, "sum", uniform_unit_scaling)
    head = torch.nn.Linear(6, 20)
    return lambda z: bottleneck({"z_e": z, "log_var": head(z)}, None), bottleneck.codebook


def released() -> tuple[Callable[[Tensor], Latent], Tensor]:
    bottleneck = ReleasedMNISTSoftVQ(6, 20, 0.0, 1.0, 1.0, "sum", uniform_unit_scaling)
    head = torch.nn.Linear(6, 20)
    return lambda z: bottleneck({"z_e": z, "log_std": head(z)}, None), bottleneck.codebook


def vae() -> tuple[Callable[[Tensor], Latent], None]:
    bottleneck, head = GaussianPosterior(6, 1.0), torch.nn.Linear(6, 6)
    return lambda z: bottleneck({"z_e": z, "log_var": head(z)}, None), None


models = pytest.mark.parametrize("make", [vq, soft_vq, released, vae])


@models
@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_panel_does_not_depend_on_the_batch_size(make, size):
    encode, codewords = make()
    z = torch.randn(64, 3, 6)
    whole = panel(statistics(encode(z), codewords))
    health = Health(statistics(encode(z[:1]), codewords))
    for batch in z.split(size):
        health.update(statistics(encode(batch), codewords))
    assert health.compute() == pytest.approx(whole, rel=1e-5)


@models
def test_devices_shares_add_up_to_the_whole(make):
    encode, codewords = make()
    z = torch.randn(60, 2, 6)
    like = statistics(encode(z), codewords)
    devices = [Health(like), Health(like)]
    for device, share in zip(devices, (z[:10], z[10:]), strict=True):
        device.update(statistics(encode(share), codewords))
    assert set(devices[0]._reductions.values()) == {dim_zero_sum}
    devices[0].merge_state(devices[1])  # what a reduction by sum over two processes gives
    assert devices[0].compute() == pytest.approx(panel(like), rel=1e-5)


@models
def test_stacked_replicas_have_the_sums_of_each_alone(make):
    encode, codewords = make()
    z = torch.randn(3, 16, 2, 6)
    stacked = torch.func.vmap(lambda own: statistics(encode(own), codewords))(z)
    for s in range(3):
        for name, value in statistics(encode(z[s]), codewords).items():
            torch.testing.assert_close(stacked[name][s], value, msg=name, rtol=1e-6, atol=1e-6)


@models
def test_sums_have_the_same_shapes_for_every_batch_and_no_gradient(make):
    encode, codewords = make()
    few, many = (statistics(encode(torch.randn(B, 2, 6)), codewords) for B in (1, 9))
    assert {name: value.shape for name, value in few.items()} == {name: value.shape for name, value in many.items()}
    assert not any(value.requires_grad for value in many.values())


@models
def test_nothing_waits_for_the_device_or_depends_on_values(make):
    # A meta tensor has no values: whatever read one, as a capture forbids, would fail.
    encode, codewords = make()
    out = encode(torch.randn(4, 2, 6))
    meta = Latent(out.z, out.penalty, taps={name: tap.to("meta") for name, tap in out.taps.items()})
    sums = statistics(meta, None if codewords is None else codewords.to("meta"))
    assert all(value.is_meta for value in sums.values())


def test_codes_in_bfloat16_are_summed_exactly():
    z = torch.randn(4096, 1, 4).bfloat16()
    found = numbers(z)
    assert found["code_scale"] == pytest.approx(z.double().std(0, correction=0).square().mean().sqrt().item(), rel=1e-9)


def test_no_image_is_an_error():
    empty = {name: torch.zeros_like(value) for name, value in statistics(latent(torch.ones(1, 1, 2)), None).items()}
    with pytest.raises(ValueError, match="at least one image"):
        panel(empty)


def test_each_lasting_symptom_is_named_once():
    dead, alive = of_index(torch.zeros(9, 1, dtype=torch.long), K=16), of_index(torch.arange(16)[:, None], K=16)
    watch = CollapseWatch()
    panels = [*[dead] * (PATIENCE - 1), alive, *[dead] * (PATIENCE + 3)]  # the first ones do not last
    said = [[name for name, _ in watch.new_symptoms(numbers)] for numbers in panels]
    assert said == [*[[]] * (2 * PATIENCE - 1), ["perplexity"], [], [], []]


def test_a_posterior_that_ignores_the_image_is_named():
    w = torch.full((30, 1, 16), 1 / 16)
    found = numbers(torch.randn(30, 1, 4), torch.randn(16, 4), posterior=w, index=w.argmax(-1))
    assert [name for name, _ in collapse(found)] == ["mutual_information"]


def test_a_code_in_one_direction_is_named():
    z = torch.randn(200, 1, 1) * torch.ones(8)
    assert [name for name, _ in collapse(numbers(z))] == ["effective_rank"]


def test_a_gaussian_code_of_less_than_a_bit_is_named_though_its_units_vary():
    # Each of 64 units has a variance of 0.015 beside a noise of 1: ln(1.015) / 2 nats a unit, 0.69 bits in all.
    z = 0.015**0.5 * torch.randn(4000, 1, 64)
    found = numbers(z, log_var=torch.zeros_like(z))
    assert found["active_units"] == 64
    assert found["mutual_information_bound"] == pytest.approx(64 * np.log2(1.015) / 2, abs=0.05)
    assert [name for name, _ in collapse(found)] == ["mutual_information_bound"]
    assert not collapse(numbers(2 * z, log_var=torch.zeros_like(z)))  # 2.7 bits


def test_a_code_in_one_direction_with_codewords_is_told_what_helps_there():
    z = torch.randn(200, 1, 1) * torch.ones(8)
    index = torch.arange(200)[:, None] % 16
    ((name, text),) = collapse(numbers(z, torch.randn(16, 8), index=index))
    assert name == "effective_rank"
    assert "bottleneck=vq_ema" in text
