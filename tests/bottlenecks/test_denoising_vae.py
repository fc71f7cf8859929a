"""Denoising VAEs against Im et al. (2017): the posterior sees corrupted pixels, the loss clean ones."""

import numpy as np
import pytest
import torch
from golden import SHAPE, TorchCoder, a_world, gaussian, golden, reconstruction_losses
from zoo import make


def evaluate(now, given, corrupted):
    seen = given.x if given.noise is None else corrupted(given.x, given.noise["pixels"])
    z, kl = gaussian(now.encode(seen), None if given.noise is None else given.noise["latent"])
    rec = reconstruction_losses(now.decode(z), given.x).mean()
    return {
        "z": z,
        "loss": rec + given.penalty_weight * given.settings.kl_weight * kl.sum(1).mean(),
        "terms": {"reconstruction_loss": rec, "kl_loss": kl.sum(1).mean()},
        "taps": {"rate": kl / np.log(2)},
    }


@golden("denoising_vae")
def evaluate_masked(now, held, given):
    return evaluate(now, given, lambda x, u: x * (u >= given.settings.mask_rate))


@golden("air_denoising")
def evaluate_gaussian(now, held, given):
    return evaluate(now, given, lambda x, noise: x + given.settings.noise_std * noise)


def test_so_many_pixels_are_masked_and_the_others_are_left_alone():
    bottleneck = make("denoising_vae", "bottleneck.mask_rate=0.3")
    x = 1 + torch.rand(5000, *SHAPE)
    seen = bottleneck.corrupted(x, bottleneck.draw_noise(5000, 1, torch.Generator().manual_seed(0))["pixels"])
    masked = seen == 0
    assert masked.double().mean().item() == pytest.approx(0.3, abs=4.5 * (0.3 * 0.7 / x.numel()) ** 0.5)
    assert torch.equal(seen[~masked], x[~masked])


def test_gaussian_noise_has_its_standard_deviation():
    bottleneck = make("air_denoising", "bottleneck.noise_std=0.3")
    noise = bottleneck.draw_noise(5000, 1, torch.Generator().manual_seed(0))["pixels"]
    added = bottleneck.corrupted(torch.zeros(5000, *SHAPE), noise)
    assert added.std().item() == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize(("name", "off"), [("denoising_vae", "mask_rate=0.0"), ("air_denoising", "noise_std=0.0")])
def test_without_corruption_it_is_the_vae(name, off):
    bottleneck, vae = make(name, f"bottleneck.{off}"), make("vae")
    x, noise = torch.rand(4, *SHAPE).double(), bottleneck.draw_noise(4, 2, torch.Generator().manual_seed(0))
    noise = {key: value.double() for key, value in noise.items()}
    coder = TorchCoder(a_world(vae))
    ours, theirs = bottleneck.objective(coder, x, noise, None), vae.objective(coder, x, noise["latent"], None)
    assert torch.equal(ours.loss, theirs.loss)


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("denoising_vae", "mask_rate=1.5", r"bottleneck\.mask_rate must be at most 1, got 1\.5"),
        ("air_denoising", "noise_std=-0.1", r"bottleneck\.noise_std must be at least 0, got -0\.1"),
    ],
)
def test_settings_out_of_range_are_refused_by_key_and_value(name, setting, message):
    with pytest.raises(Exception, match=message):
        make(name, f"bottleneck.{setting}")
