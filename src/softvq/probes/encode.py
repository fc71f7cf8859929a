"""Runs a trained autoencoder over a data set: latent codes of both parts, reconstructions, codeword use."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softvq.data.dataset import ImageArrays
from softvq.data.module import ImageBatches
from softvq.probes.protocol import Codes
from softvq.training.autoencoder import Autoencoder


@dataclass(frozen=True)
class Encoded:
    """What one pass over both parts gives.

    Shapes: train_z_e (N, M * d); test_z_e (n, M * d) and test_index (n, M) or None; examples and reconstructions
    (k, H, W, C) in [0, 1].
    """

    codes: Codes
    train_z_e: np.ndarray
    test_z_e: np.ndarray
    test_index: np.ndarray | None
    test_mse: float
    examples: np.ndarray
    reconstructions: np.ndarray


@torch.inference_mode()
def check_tap(model: Autoencoder, arrays: ImageArrays, tap: str) -> None:
    """Looks whether the bottleneck has a tap, by one image.

    Raises:
        ValueError: naming the taps that it has.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    image = next(iter(ImageBatches(arrays.test_images[:1], 1))).to(device)
    available = model(image)[1].taps
    if tap not in available:
        raise ValueError(f"probes.tap is {tap!r}, which this bottleneck does not have; it has {', '.join(available)}")


@torch.inference_mode()
def encode(model: Autoencoder, arrays: ImageArrays, tap: str, batch_size: int, examples: int = 12) -> Encoded:
    """Encodes the training and the test images, noise off, on the model's device.

    Raises:
        ValueError: if the bottleneck has no such tap.
    """
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    check_tap(model, arrays, tap)
    train: list[Tensor] = []
    train_z_e: list[Tensor] = []
    for batch in ImageBatches(arrays.train_images, batch_size):
        taps = model.latent(batch.to(device)).taps
        train.append(taps[tap].flatten(1).float().cpu())
        train_z_e.append(taps["z_e"].flatten(1).float().cpu())
    test: list[Tensor] = []
    z_e: list[Tensor] = []
    index: list[Tensor] = []
    shown: list[Tensor] = []
    squared_error = 0.0
    for batch in ImageBatches(arrays.test_images, batch_size):
        images = batch.to(device)
        reconstruction, latent = model(images)
        squared_error += (reconstruction - model.pixels(images)).double().square().sum().item()
        test.append(latent.taps[tap].flatten(1).float().cpu())
        z_e.append(latent.taps["z_e"].flatten(1).float().cpu())
        if "index" in latent.taps:
            index.append(latent.taps["index"].cpu())
        if not shown:
            shown.append((reconstruction[:examples].float().cpu() - model.pixel_offset).clamp(0, 1))
    classes = arrays.info.classes
    labels: Any = arrays.train_labels, arrays.test_labels
    codes = Codes(torch.cat(train).numpy(), labels[0], torch.cat(test).numpy(), labels[1], classes)
    return Encoded(
        codes=codes,
        train_z_e=torch.cat(train_z_e).numpy(),
        test_z_e=torch.cat(z_e).numpy(),
        test_index=torch.cat(index).numpy() if index else None,
        test_mse=squared_error / arrays.test_images.size,
        examples=np.asarray(arrays.test_images[:examples]) / 255,
        reconstructions=shown[0].numpy(),
    )
