"""Runs a trained autoencoder over a data set: latent codes of both parts, health of the code, error of the images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchmetrics.regression import MeanSquaredError

from softvq.bottlenecks.base import Latent
from softvq.data.dataset import ImageArrays
from softvq.data.module import ImageBatches
from softvq.health import Health, statistics
from softvq.training.autoencoder import Autoencoder


@dataclass(frozen=True)
class Encoded:
    """What one pass over both parts gives, noise off.

    Attributes:
        train: the probed tap of the training images, (N, width), as `test`.
        train_z_e: (N, M * d), as `test_z_e`.
        test_mse: mean squared error per pixel of the test images.
        health: over the test images.
    """

    train: np.ndarray
    test: np.ndarray
    train_z_e: np.ndarray
    test_z_e: np.ndarray
    test_mse: float
    health: Health


@torch.inference_mode()
def check_tap(model: Autoencoder, arrays: ImageArrays, tap: str) -> None:
    """Looks whether the bottleneck has a tap, by one image.

    Raises:
        ValueError: naming the taps that it has.
    """
    trains = model.training
    available = next(_latents(model, arrays.test_images[:1], 1))[1].taps
    model.train(trains)
    if tap not in available:
        raise ValueError(f"probes.tap is {tap!r}, which this bottleneck does not have; it has {', '.join(available)}")


@torch.inference_mode()
def encode(model: Autoencoder, arrays: ImageArrays, tap: str, batch_size: int) -> Encoded:
    """Encodes the training and the test images on the model's device.

    Raises:
        ValueError: if the bottleneck has no such tap.
    """
    check_tap(model, arrays, tap)
    train = _Collected(tap)
    for _, latent in _latents(model, arrays.train_images, batch_size):
        train.add(latent)
    test = _Collected(tap)
    exact = torch.float32 if model.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    error = MeanSquaredError().to(model.device).set_dtype(exact)
    health: Health | None = None
    for images, latent in _latents(model, arrays.test_images, batch_size):
        test.add(latent)
        reconstruction, pixels = model.decode(latent.z), model.pixels(images)
        error.update(reconstruction.flatten().type(exact), pixels.flatten().type(exact))
        sums = statistics(latent, model.bottleneck.codewords)
        health = health or Health(sums)
        health.update(sums)
    assert health is not None  # a data set has test images
    return Encoded(
        train=train.tap(), test=test.tap(), train_z_e=train.z_e(), test_z_e=test.z_e(),
        test_mse=error.compute().item(), health=health,
    )  # fmt: skip


def _latents(model: Autoencoder, images: np.ndarray, batch_size: int) -> Iterator[tuple[Tensor, Latent]]:
    """Batches of images on the model's device, and what the bottleneck makes of them."""
    model.eval()
    for batch in ImageBatches(images, batch_size):
        on_device = batch.to(model.device)
        yield on_device, model.latent(on_device)


class _Collected:
    """A tap and z_e of one batch after another, as float32 rows on the processor; one array where they are the same."""

    def __init__(self, tap: str) -> None:
        self.name = tap
        self.batches: dict[str, list[np.ndarray]] = {tap: [], "z_e": []}

    def add(self, latent: Latent) -> None:
        for name, batches in self.batches.items():
            batches.append(latent.taps[name].flatten(1).float().cpu().numpy())

    def tap(self) -> np.ndarray:
        return self._joined(self.name)

    def z_e(self) -> np.ndarray:
        return self._joined("z_e")

    def _joined(self, name: str) -> np.ndarray:
        batches = self.batches[name]
        if len(batches) > 1:
            batches[:] = [np.concatenate(batches)]
        return batches[0]
