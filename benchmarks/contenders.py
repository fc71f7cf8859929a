"""What trains in `make bench`: our cell, the bound, a usual Lightning project, and pythae's trainer.

`python contenders.py FD NAME NETWORK FOLDER [OVERRIDE...]` is started by `turns.Contender`, which holds the other end
of FD. The overrides are of our cell's configuration.
"""

import os
import sys
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from turns import Turns

from softvq.training.saving import ResumeCheckpoint

IMAGE_SHAPES = {"mlp": (28, 28, 1), "conv": (32, 32, 3)}
BATCH_SIZE = 32
LR = 3e-4
ENDLESS = 10**9


def write_images(folder: Path, network: str, count: int, test_count: int = 100) -> None:
    """A data set of random images, as `data=arrays` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for split, size in (("train", count), ("test", test_count)):
        images = rng.integers(0, 256, (size, *IMAGE_SHAPES[network]), dtype=np.uint8)
        np.save(folder / f"{split}_images.npy", images)
        np.save(folder / f"{split}_labels.npy", np.arange(size) % 10)


class HoldAfterChunk(L.Callback):
    """Tells `turns` of the optimiser steps that one Lightning step made.

    Our checkpoints are written by the clock, which stands still while the others have their turn.
    """

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.seen = 0

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        steps, self.seen = trainer.global_step - self.seen, trainer.global_step
        waited = self.turns.step(steps)
        for checkpoint in (c for c in trainer.callbacks if isinstance(c, ResumeCheckpoint)):
            checkpoint._clock += waited


def read(network: str, data: Path, *overrides: str) -> Any:
    """The cell of `softvq train data=arrays network=... data.dir=...`, on one thread, without end."""
    from softvq.config.compose import compose, without_hydra
    from softvq.run.cell import read_cell

    folder = data / f"run-{os.getpid()}"
    chosen = [
        "data=arrays",
        f"network={network}",
        f"data.dir={data}",
        f"data.root={data}",
        f"hydra.run.dir={folder}",
        f"trainer.max_steps={ENDLESS}",
        "trainer.threads=1",
        "trainer.accelerator=cpu",
        *overrides,
    ]
    composed = compose("train", chosen, return_hydra_config=True)
    config = without_hydra(composed)
    return read_cell(config, composed.hydra, folder, None)


def ours(turns: Turns, network: str, data: Path, *overrides: str) -> None:
    """Our cell as users run it: Lightning, the training curve, checkpoints by the clock.

    Raises:
        RuntimeError: if the cell fails.
    """
    from softvq.run.complete import complete

    trainer_class = L.Trainer

    def trainer(*args: Any, callbacks: list[L.Callback], **kwargs: Any) -> L.Trainer:
        return trainer_class(*args, callbacks=[HoldAfterChunk(turns), *callbacks], **kwargs)

    L.Trainer = trainer  # type: ignore[assignment, misc]
    (outcome,) = complete([read(network, data, *overrides)])
    raise RuntimeError(f"{outcome.status}: {outcome.message}")  # it has no end


def our_model(network: str, data: Path) -> tuple[Any, Tensor]:
    """A cell's autoencoder, and a batch of images for it."""
    from softvq.run.build import build_model

    cell = read(network, data)
    shape = IMAGE_SHAPES[network]
    return build_model(cell.config, shape, 0.08), torch.randint(0, 256, (BATCH_SIZE, *shape), dtype=torch.uint8)


Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def layers_of(model: nn.Module, images: Tensor) -> list[tuple[Layer, Tensor, Tensor]]:
    """Each linear or convolutional layer with its input and its output, in the order of their use."""
    found: list[tuple[Layer, Tensor, Tensor]] = []

    def record(layer: Layer, inputs: tuple[Tensor], output: Tensor) -> None:
        found.append((layer, inputs[0].detach(), output.detach()))

    hooks = [m.register_forward_hook(record) for m in model.modules() if isinstance(m, Layer)]
    model(images)
    for hook in hooks:
        hook.remove()
    return found


def products_of(layer: Layer, x: Tensor, y: Tensor, first: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The bare forward and backward product of a layer; no input gradient for the first one."""
    weight = layer.weight.detach()
    if isinstance(layer, nn.Linear):
        x, y, gx, gw = x.flatten(0, -2), y.flatten(0, -2), torch.empty_like(x.flatten(0, -2)), torch.empty_like(weight)

        def backward() -> None:
            if not first:
                torch.mm(y, weight, out=gx)
            torch.mm(y.T, x, out=gw)

        return lambda: torch.mm(x, weight.T, out=y), backward
    transposed = isinstance(layer, nn.ConvTranspose2d)
    geometry = (layer.stride, layer.padding, layer.dilation, transposed, layer.output_padding, 1)
    convolution, convolution_backward = torch.ops.aten.convolution, torch.ops.aten.convolution_backward
    return (
        lambda: convolution(x, weight, None, *geometry),
        lambda: convolution_backward(y, x, weight, None, *geometry, [not first, True, False]),
    )


def bound(turns: Turns, network: str, data: Path) -> None:
    """The layers' bare products, forward and backward, and fused Adam on the same parameters."""
    from softvq.training.malloc import keep_freed_memory

    keep_freed_memory()
    model, images = our_model(network, data)
    products = [products_of(layer, x, y, first=i == 0) for i, (layer, x, y) in enumerate(layers_of(model, images))]
    adam = torch.optim.Adam(model.parameters(), LR, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    while True:
        with torch.no_grad():
            for forward, _ in products:
                forward()
            for _, backward in reversed(products):
                backward()
        adam.step()
        turns.step()


class PictureFiles(Dataset[tuple[Tensor, int]]):
    """A data set as torchvision's are: an array in memory, a PIL image and a transform for each item."""

    def __init__(self, data: Path) -> None:
        from torchvision.transforms import ToTensor

        self.images = np.load(data / "train_images.npy")
        self.labels = np.load(data / "train_labels.npy")
        self.transform = ToTensor()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        image = self.images[index]
        return self.transform(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)), int(
            self.labels[index]
        )


class UsualModule(L.LightningModule):
    """Our layers and losses in a LightningModule as the tutorials write it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x = batch[0].permute(0, 2, 3, 1)
        heads = self.model.encoder(x)
        noise = torch.randn_like(heads["z_e"])
        latent = self.model.bottleneck(heads, noise)
        loss = self.model.reconstruction(self.model.decoder(latent.z), x) + latent.penalty
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=LR)


def usual(turns: Turns, network: str, data: Path) -> None:
    """A usual Lightning project: torchvision's kind of data set, a DataLoader, automatic optimisation, plain Adam."""
    from lightning.pytorch.loggers import CSVLogger

    model, _ = our_model(network, data)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=CSVLogger(data / "usual"),
        callbacks=[HoldAfterChunk(turns)],
        enable_model_summary=False,
        default_root_dir=data / "usual",
    )
    trainer.fit(UsualModule(model), DataLoader(PictureFiles(data), batch_size=BATCH_SIZE, shuffle=True))


def pythae(turns: Turns, network: str, data: Path) -> None:
    """Pythae's trainer on its plain autoencoder with our MLP's layers: it has no soft VQ, so a head less."""
    from pythae.models import AE, AEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    from softvq.networks.mlp import MLPDecoder, MLPEncoder

    shape = IMAGE_SHAPES[network]
    d = 64

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = MLPEncoder(shape, {"z_e": d}, [500, 500, 2000])

        def forward(self, x: Tensor) -> ModelOutput:
            return ModelOutput(embedding=self.layers(x)["z_e"].squeeze(1))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = MLPDecoder(shape, d, [2000, 500, 500], "sigmoid")

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z.unsqueeze(1)))

    class Hold(TrainingCallback):
        def on_train_step_end(self, training_config: Any, **kwargs: Any) -> None:
            turns.step()

    images = np.load(data / "train_images.npy") / np.float32(255)
    config = BaseTrainerConfig(
        output_dir=str(data / "pythae"),
        num_epochs=10**6,
        learning_rate=LR,
        per_device_train_batch_size=BATCH_SIZE,
        no_cuda=True,
    )
    model = AE(AEConfig(input_dim=shape, latent_dim=d), Encoder(), Decoder())
    from pythae.data.preprocessors import DataProcessor

    dataset = DataProcessor().to_dataset(torch.from_numpy(images))
    BaseTrainer(model, dataset, training_config=config, callbacks=[Hold()]).train()


def main() -> None:
    descriptor, name, network, folder, *overrides = sys.argv[1:]
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    {"ours": ours, "bound": bound, "usual": usual, "pythae": pythae}[name](
        Turns(Connection(int(descriptor))), network, Path(folder), *overrides
    )


if __name__ == "__main__":
    main()
