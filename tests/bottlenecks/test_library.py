"""vector-quantize-pytorch's quantizers against their papers: the adapter hands on what they compute."""

import sys

import numpy as np
import pytest
import torch
from golden import golden, softmax, squared_distances
from zoo import B, M, make, random_heads

from softvq.bottlenecks.library import LibraryQuantizer


def projected(world, given, name):
    return given @ world.weights[f"quantizer.{name}.weight"].T + world.weights[f"quantizer.{name}.bias"]


@golden("fsq")
def evaluate_fsq(now, held, given):
    """Mentzer et al. (2024), section 3 and appendix A.1."""
    levels = np.array(given.settings.options["levels"])
    half, offset = (levels - 1) * (1 + 1e-3) / 2, np.where(levels % 2 == 0, 0.5, 0.0)

    def bounded(world):
        z_e = world.encode(given.x)["z_e"]
        z_e = z_e / np.sqrt((z_e**2).mean(-1, keepdims=True))
        z = projected(world, z_e, "project_in")
        return np.tanh(z + np.arctanh(offset / half)) * half - offset

    rounded = np.round(bounded(held))
    codes = (bounded(now) + rounded - bounded(held)) / (levels // 2)
    basis = np.cumprod([1, *levels[:-1]])
    return {
        "z": projected(now, codes, "project_out"),
        "penalty": 0.0,
        "terms": {},
        "taps": {"index": ((rounded + levels // 2) * basis).sum(-1)},
    }


@golden("lfq")
def evaluate_lfq(now, held, given):
    """Yu et al. (2024), eqs. (3)-(5), with the temperature 1/100 of the package."""
    options = given.settings.options
    K, temperature = options["codebook_size"], 0.01
    bits = int(np.log2(K))
    codewords = 2.0 * ((np.arange(K)[:, None] >> np.arange(bits)[::-1]) & 1) - 1
    y = projected(now, now.encode(given.x)["z_e"], "project_in")
    y_held = projected(held, held.encode(given.x)["z_e"], "project_in")
    signs = np.where(y_held > 0, 1.0, -1.0)

    def entropy(p):
        return -(p * np.log(np.maximum(p, 1e-5))).sum(-1)

    p = softmax(2 * y.reshape(-1, bits) @ codewords.T / temperature)
    diversity = entropy(p).mean() - options["diversity_gamma"] * entropy(p.mean(0))
    commitment = ((y - signs) ** 2).mean()
    loss = options["entropy_loss_weight"] * diversity + options["commitment_loss_weight"] * commitment
    loss = loss if given.training else 0.0
    return {
        "z": projected(now, y + (signs - y_held) if given.training else signs, "project_out"),
        "penalty": given.mean_scale * given.settings.loss_weight * loss,
        "terms": {"quantizer_loss": loss},
    }


@golden("sim_vq")
def evaluate_sim_vq(now, held, given):
    """Zhu et al. (2025), eqs. (4) and (5): the codebook is a linear map of a fixed one."""
    z, z_held = now.encode(given.x)["z_e"], held.encode(given.x)["z_e"]
    codebook, codebook_held = (
        w.weights["quantizer.frozen_codebook"] @ w.weights["quantizer.code_transform.weight"].T for w in (now, held)
    )
    index = squared_distances(z_held, codebook_held).argmin(-1)
    beta = given.settings.options["input_to_quantize_commit_loss_weight"]
    loss = ((z_held - codebook[index]) ** 2).mean() + beta * ((z - codebook_held[index]) ** 2).mean()
    loss = loss if given.training else 0.0
    return {
        "z": z + (codebook_held[index] - z_held),
        "penalty": given.mean_scale * given.settings.loss_weight * loss,
        "terms": {"quantizer_loss": loss},
        "taps": {"index": index},
    }


@golden("residual_vq")
def evaluate_residual_vq(now, held, given):
    """Zeghidour et al. (2021), algorithm 1, each stage with van den Oord et al.'s losses."""
    z, z_held = now.encode(given.x)["z_e"], held.encode(given.x)["z_e"]
    residual, residual_held, z_q, loss, index = z, z_held, np.zeros_like(z), 0.0, []
    for stage in range(given.settings.options["num_quantizers"]):
        codebook, codebook_held = (
            w.weights[f"quantizer.layers.{stage}._codebook.embed"][0].astype(float) for w in (now, held)
        )
        k = squared_distances(residual_held, codebook_held).argmin(-1)
        index.append(k + stage * len(codebook))
        loss += given.settings.options["commitment_weight"] * ((residual - codebook[k]) ** 2).mean()
        quantized_held = codebook_held[k]
        z_q = z_q + quantized_held
        residual, residual_held = residual - quantized_held, residual_held - quantized_held
    loss = loss if given.training else 0.0
    return {
        "z": z + (z_q - z_held),
        "penalty": given.mean_scale * given.settings.loss_weight * loss,
        "terms": {"quantizer_loss": loss},
        "taps": {"index": np.stack(index, -1)},
    }


@golden("rotation_vq")
def evaluate_rotation_vq(now, held, given):
    """Fifty et al. (2025), section 4.2: the gradient to z_e is turned as z_e is turned to its codeword."""
    z, z_held = now.encode(given.x)["z_e"], held.encode(given.x)["z_e"]
    codebook, codebook_held = (w.weights["quantizer._codebook.embed"][0] for w in (now, held))
    index = squared_distances(z_held, codebook_held).argmin(-1)
    turned = np.zeros_like(z)
    for place in np.ndindex(index.shape):
        e, q = z_held[place], codebook_held[index[place]]
        u, v = e / np.linalg.norm(e), q / np.linalg.norm(q)
        r = (u + v) / np.linalg.norm(u + v)
        rotation = np.eye(len(e)) - 2 * np.outer(r, r) + 2 * np.outer(v, u)
        turned[place] = np.linalg.norm(q) / np.linalg.norm(e) * rotation @ z[place]
    loss = given.settings.options["commitment_weight"] * ((z - codebook[index]) ** 2).mean()
    loss = loss if given.training else 0.0
    return {
        "z": turned,
        "penalty": given.mean_scale * given.settings.loss_weight * loss,
        "terms": {"quantizer_loss": loss},
        "taps": {"index": index},
    }


@pytest.mark.parametrize("name", ["fsq", "lfq", "sim_vq", "rotation_vq"])
def test_the_decoder_reads_the_codeword_that_the_index_counts(name):
    bottleneck = make(name).eval()
    latent = bottleneck(random_heads(bottleneck), None)
    chosen = bottleneck.codewords[latent.taps["index"]]
    torch.testing.assert_close(latent.z, chosen, check_dtype=False, rtol=1e-4, atol=1e-5)


def test_a_bounded_quantizer_is_not_saturated_by_large_codes():
    bottleneck = make("fsq")
    z_e = torch.randn(B, M, 5).double()
    z_e.requires_grad_()
    z = bottleneck({"z_e": 1000 * z_e}, None).z
    torch.testing.assert_close(z, bottleneck({"z_e": z_e}, None).z)
    (gradient,) = torch.autograd.grad(z.square().sum(), z_e)
    assert (gradient.flatten(0, 1).norm(dim=-1) > 1e-4).all()


def test_a_residual_quantizer_adds_up_the_codewords_of_its_stages():
    bottleneck = make("residual_vq").eval()
    latent = bottleneck(random_heads(bottleneck), None)
    assert latent.taps["index"].shape == (B, M, 2)
    chosen = bottleneck.codewords[latent.taps["index"]].sum(-2)
    torch.testing.assert_close(latent.z, chosen, check_dtype=False, rtol=1e-4, atol=1e-5)
    assert latent.taps["rate"].unique().item() == pytest.approx(2 * np.log2(7))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("quantizer=FSQQ", r"bottleneck\.quantizer must be one of FSQ, .*got 'FSQQ'"),
        ("options.levels=[2,2]", r"bottleneck\.options are not FSQ's: turn on `preserve_symmetry`"),
    ],
)
def test_settings_that_the_package_does_not_take_are_refused_by_key(setting, message):
    with pytest.raises(Exception, match=message):
        make("fsq", f"bottleneck.{setting}")


def test_an_option_that_the_class_does_not_have_is_named():
    with pytest.raises(ValueError, match=r"bottleneck\.options are not FSQ's: .*nope"):
        LibraryQuantizer(d=4, quantizer="FSQ", loss_weight=1.0, options={"levels": [3, 3], "nope": 1})


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    with pytest.raises(Exception, match=r"bottleneck\.quantizer=FSQ needs .* pip install 'softvq\[vq\]' brings it"):
        make("fsq")
