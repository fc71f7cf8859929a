"""The autoencoder: its loss beside NumPy, what it takes for images, and the gradient of every parameter."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from trainings import KINDS, data_of, model_of, small_config

from softvq.bottlenecks.base import Noise
from softvq.training.autoencoder import Autoencoder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def build(compose_train: Callable[..., DictConfig], root: Path) -> Callable[..., Autoencoder]:
    return lambda bottleneck, *overrides: model_of(small_config(compose_train, root, bottleneck, *overrides))


@pytest.fixture
def images(compose_train: Callable[..., DictConfig], root: Path) -> torch.Tensor:
    """uint8 (6, 8, 8, 1)."""
    return torch.from_numpy(np.array(data_of(small_config(compose_train, root, "vae")).arrays.train_images[:6]))


def noise_for(model: Autoencoder, batch: int) -> Noise:
    return model.bottleneck.draw_noise(batch, model.encoder.positions, torch.Generator().manual_seed(3))


def labels_for(model: Autoencoder, batch: int) -> torch.Tensor | None:
    return torch.arange(batch) % 10 if model.bottleneck.learns_from_labels else None


def twice(noise: Noise) -> Noise:
    if isinstance(noise, dict):
        return {name: torch.cat([part, part]) for name, part in noise.items()}
    return None if noise is None else torch.cat([noise, noise])


# --- the loss


def numpy_layers(module: torch.nn.Module | list[torch.nn.Module], x: np.ndarray) -> np.ndarray:
    """Dense layers and their activations, in float64."""
    for layer in module:  # type: ignore[union-attr]
        if isinstance(layer, torch.nn.Linear):
            x = x @ layer.weight.detach().numpy().astype(np.float64).T + layer.bias.detach().numpy()
        elif isinstance(layer, torch.nn.ReLU):
            x = np.maximum(x, 0)
        elif isinstance(layer, torch.nn.Sigmoid):
            x = 1 / (1 + np.exp(-x))
    return x


def test_loss_of_uint8_images_equals_numpy(
    build: Callable[..., Autoencoder], images: torch.Tensor, compose_train: Callable[..., DictConfig], root: Path
) -> None:
    weights = ("bottleneck.codebook_weight=2", "bottleneck.commitment_weight=5")
    model = build("soft_vq", "bottleneck.sigma_eps=0.3", "penalty_weight=0.5", *weights)
    noise = torch.randn(6, 1, 4)
    with torch.no_grad():
        for parameter in model.parameters():  # biases and scales away from their start
            parameter.add_(0.1 * torch.randn_like(parameter))
    found, _ = model.loss(images, noise)

    x = images.numpy() / 255
    h = numpy_layers(model.encoder.body, x.reshape(6, 64))
    z_e, log_var = (numpy_layers([model.encoder.heads[name]], h) for name in ("z_e", "log_var"))
    mu = model.bottleneck.codewords.detach().numpy().astype(np.float64)
    noisy = z_e + 0.3 * noise[:, 0].numpy()
    density = np.exp(-((noisy[:, None] - mu) ** 2).sum(-1) / (2 * np.exp(log_var))) / np.exp(log_var) ** (4 / 2)
    z_q = density / density.sum(-1, keepdims=True) @ mu
    reconstruction = numpy_layers([*model.decoder.body, *model.decoder.output], z_q).reshape(x.shape)
    variance = (data_of(small_config(compose_train, root, "vae")).arrays.train_images / 255).var()
    reconstruction_loss = ((reconstruction - x) ** 2).sum() / (2 * variance) / 6
    term = ((noisy - z_q) ** 2).sum() / 6
    expected = {
        "loss": reconstruction_loss + 0.5 * (2 + 5) * term,
        "reconstruction_loss": reconstruction_loss,
        "codebook_loss": term,
        "commitment_loss": term,
        "log_var": log_var.mean(),
    }
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-5), name
    assert list(found)[:2] == ["loss", "reconstruction_loss"]


@pytest.mark.parametrize("bottleneck", ["identity", "vae", "beta_vae", "info_dropout", "vq", "soft_vq"])
def test_loss_is_reconstruction_plus_weighted_penalty_of_unweighted_terms(
    build: Callable[..., Autoencoder], images: torch.Tensor, bottleneck: str
) -> None:
    model = build(bottleneck, "penalty_weight=0.25")
    noise = noise_for(model, 6)
    terms, _ = model.loss(images, noise)
    reconstruction, latent = model(images, noise)
    assert terms["reconstruction_loss"] == model.reconstruction(reconstruction, model.pixels(images))
    torch.testing.assert_close(terms["loss"], terms["reconstruction_loss"] + 0.25 * latent.penalty)
    assert {name: term.item() for name, term in terms.items() if name in latent.terms} == {
        name: term.item() for name, term in latent.terms.items()
    }


@pytest.mark.parametrize("bottleneck", KINDS)
def test_a_duplicated_batch_has_the_same_loss_and_twice_the_sums(
    build: Callable[..., Autoencoder], images: torch.Tensor, bottleneck: str
) -> None:
    model = build(bottleneck).eval()
    noise, labels = noise_for(model, 6), labels_for(model, 6)
    both = None if labels is None else torch.cat([labels, labels])
    terms, sums = model.loss(images, noise, labels)
    terms_twice, sums_twice = model.loss(torch.cat([images, images]), twice(noise), both)
    for name, term in terms.items():
        torch.testing.assert_close(terms_twice[name], term)
    for name, total in sums.items():
        torch.testing.assert_close(sums_twice[name], 2 * total)


def test_a_negative_penalty_weight_is_refused_by_key_and_value(build: Callable[..., Autoencoder]) -> None:
    with pytest.raises(ValueError, match=r"penalty_weight must be at least 0, got -0\.5"):
        build("vae", "penalty_weight=-0.5")


# --- images


@pytest.mark.parametrize("offset", [0.0, -0.5])
def test_pixels_are_uint8_over_255_plus_the_offset(build: Callable[..., Autoencoder], offset: float) -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(4, 8, 8, 1)
    pixels = build("identity", f"data.pixel_offset={offset}").pixels(images)
    np.testing.assert_allclose(pixels.flatten(), np.arange(256) / 255 + offset, atol=1e-7)
    assert images.flatten().tolist() == list(range(256))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.rand(2, 8, 8, 1), r"must be uint8 .*got torch\.float32"),
        (torch.zeros(2, 8, 8, 1, dtype=torch.int64), r"must be uint8 .*got torch\.int64"),
        (torch.zeros(2, 8, 9, 1, dtype=torch.uint8), r"must have shape \(B, 8, 8, 1\), got \(2, 8, 9, 1\)"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), r"got \(2, 1, 8, 8\); the channels come last"),
        (torch.zeros(8, 8, 1, dtype=torch.uint8), r"must have shape \(B, 8, 8, 1\), got \(8, 8, 1\)"),
    ],
)
def test_what_is_no_batch_of_its_images_is_refused(
    build: Callable[..., Autoencoder], given: torch.Tensor, message: str
) -> None:
    model = build("identity")
    for call in (model, model.encode, model.loss):
        with pytest.raises(ValueError, match=message):
            call(given)


@pytest.mark.parametrize("bottleneck", KINDS)
def test_the_code_of_an_image_is_its_noiseless_one_whatever_else_is_in_the_batch(
    build: Callable[..., Autoencoder], images: torch.Tensor, bottleneck: str
) -> None:
    model = build(bottleneck).eval()
    with torch.no_grad():
        code = model.encode(images)
        assert code.shape == (6, model.encoder.positions, 4)
        assert torch.equal(model.encode(images), code)
        assert torch.equal(model(images, noise_for(model, 6))[1].taps["z_e"], code)
        torch.testing.assert_close(model.encode(images[2:3]), code[2:3])
        assert torch.equal(model(images)[0], model(images)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_images_are_scaled_in_the_models_own_precision(
    build: Callable[..., Autoencoder], images: torch.Tensor, dtype: torch.dtype
) -> None:
    reconstruction, latent = build("soft_vq").to(dtype)(images)
    assert reconstruction.dtype == latent.taps["z_e"].dtype == dtype


# --- the seed


def test_seed_alone_decides_the_parameters_and_zero_is_a_seed(build: Callable[..., Autoencoder]) -> None:
    states = []
    for seed in (0, 0, 1):
        torch.rand(len(states) + 1)  # what was drawn before does not matter
        states.append(build("soft_vq", f"seed={seed}").state_dict())
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["bottleneck.codebook"], other["bottleneck.codebook"])
    assert not torch.equal(first["encoder.heads.z_e.weight"], other["encoder.heads.z_e.weight"])
