"""Reconstruction losses against the Gaussian density and the notebooks' formula."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from softvq.losses import GaussianReconstruction, NormalizedMSE


def images(B=5, H=4, W=3, C=2):
    return torch.rand(B, H, W, C).double(), torch.rand(B, H, W, C).double()


def test_gaussian_reconstruction_is_the_negative_log_likelihood_without_its_constant():
    reconstruction, x = images()
    variance = 0.07
    log_density = norm(reconstruction.numpy(), math.sqrt(variance)).logpdf(x.numpy()).sum((1, 2, 3)).mean()
    constant = 4 * 3 * 2 * 0.5 * math.log(2 * math.pi * variance)
    found = GaussianReconstruction(variance)(reconstruction, x)
    assert found.item() == pytest.approx(-log_density - constant, rel=1e-12)


def test_normalized_mse_is_the_mean_square_in_units_of_the_variance():
    reconstruction, x = images()
    error = (reconstruction.numpy() - x.numpy()) ** 2
    assert NormalizedMSE(0.07, 3.0)(reconstruction, x).item() == pytest.approx(3.0 * error.mean() / 0.07, rel=1e-12)


def test_normalized_mse_of_the_mean_image_is_its_weight():
    # The best constant guess leaves the whole variance.
    x = torch.rand(50, 4, 4, 1).double()
    guess = x.mean().expand_as(x)
    assert NormalizedMSE(np.var(x.numpy()), 784.0)(guess, x).item() == pytest.approx(784.0)


@pytest.mark.parametrize("shape", [(4, 3, 2), (28, 28, 1), (32, 32, 3)])
def test_the_two_losses_differ_by_half_the_number_of_pixels(shape):
    reconstruction, x = images(3, *shape)
    ratio = GaussianReconstruction(0.1)(reconstruction, x) / NormalizedMSE(0.1, 1.0)(reconstruction, x)
    assert ratio.item() == pytest.approx(math.prod(shape) / 2, rel=1e-12)


@pytest.mark.parametrize("loss", [GaussianReconstruction(0.1), NormalizedMSE(0.1, 1.0)])
def test_a_duplicated_batch_has_the_same_loss(loss):
    reconstruction, x = images()
    twice = loss(torch.cat([reconstruction, reconstruction]), torch.cat([x, x]))
    torch.testing.assert_close(twice, loss(reconstruction, x))


@pytest.mark.parametrize("loss", [GaussianReconstruction(0.1), NormalizedMSE(0.1, 1.0)])
def test_a_perfect_reconstruction_costs_nothing(loss):
    x = torch.rand(2, 3, 3, 1)
    assert loss(x, x).item() == 0


@pytest.mark.parametrize("make", [GaussianReconstruction, lambda variance: NormalizedMSE(variance, 1.0)])
@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan])
def test_images_without_variance_are_refused(make, variance):
    with pytest.raises(ValueError, match=rf"variance .* {variance}"):
        make(variance)


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match=r"reconstruction\.weight must be at least 0, got -1\.0"):
        NormalizedMSE(0.1, -1.0)
