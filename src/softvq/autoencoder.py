"""The LightningModule: encoder, bottleneck and decoder, trained in chunks of steps."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from softvq.bottlenecks.base import Bottleneck, Latent
from softvq.checks import at_least
from softvq.data.module import Chunk
from softvq.eager import update_in_backward
from softvq.networks.layers import Encoder
from softvq.randomness import Stream, generator
from softvq.steps import Capture, ReplayedSteps


class NonFiniteLossError(RuntimeError):
    """A loss term that is no finite number; training stops and the last good checkpoint stays."""

    def __init__(self, step: int, term: str, value: float) -> None:
        super().__init__(
            f"{term} is {value} at step {step}; the last good checkpoint is kept. "
            "Lower optimizer.lr or the bottleneck's weights, or start over with resume=never"
        )
        self.step, self.term = step, term


class Autoencoder(L.LightningModule):
    """An encoder, a bottleneck and a decoder.

    The loss is reconstruction + penalty_weight * penalty. One Lightning step trains a chunk of several optimiser
    steps; the trainer's `global_step` and `max_steps` count optimiser steps.

    Args:
        encoder: (B, H, W, C) -> the bottleneck's heads, each (B, M, width).
        bottleneck: heads -> latent.
        decoder: (B, M, d) -> (B, H, W, C).
        reconstruction: loss of a reconstruction against the image.
        penalty_weight: one factor for all of the bottleneck's own weights.
        optimizer: makes the optimiser from the parameters.
        pixel_offset: pixels are uint8 / 255 + pixel_offset.
        seed: of the noise.
        log_every_n_steps: steps whose mean is one row of the training curve.

    Attributes:
        capture: how a step is captured to be replayed instead of run from Python; None runs each from Python.
    """

    encoder: Encoder
    bottleneck: Bottleneck

    def __init__(
        self,
        encoder: Encoder,
        bottleneck: Bottleneck,
        decoder: nn.Module,
        reconstruction: nn.Module,
        penalty_weight: float,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        pixel_offset: float,
        seed: int,
        log_every_n_steps: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.encoder, self.bottleneck, self.decoder = encoder, bottleneck, decoder
        self.reconstruction = reconstruction
        at_least("penalty_weight", penalty_weight, 0)
        self.penalty_weight = penalty_weight
        self.make_optimizer = optimizer
        self.pixel_offset, self.seed, self.log_every_n_steps = pixel_offset, seed, log_every_n_steps
        self.capture: Capture | None = None
        self._replayed: ReplayedSteps | None = None
        self.term_names: list[str] = []
        self.curve: dict[str, float] = {}  # sums of the loss terms since the last row,
        self.curve_steps = 0  # and of how many steps

    def pixels(self, images: Tensor) -> Tensor:
        """Floats uint8 / 255 + pixel_offset, in the images' shape."""
        return images.float().mul_(1 / 255).add_(self.pixel_offset)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Latent]:
        """The reconstruction and the latent of uint8 images; without noise, deterministic.

        Shapes: images (B, H, W, C). The reconstruction is (B, H, W, C), in the units of `pixels`.
        """
        latent = self.bottleneck(self.encoder(self.pixels(images)), noise)
        return self.decoder(latent.z), latent

    def loss(self, images: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """The loss and its unweighted terms, each ().

        Shapes: images uint8 (B, H, W, C); noise as the bottleneck draws it.
        """
        x = self.pixels(images)
        latent = self.bottleneck(self.encoder(x), noise)
        reconstruction_loss = self.reconstruction(self.decoder(latent.z), x)
        return {
            "loss": reconstruction_loss + self.penalty_weight * latent.penalty,
            "reconstruction_loss": reconstruction_loss,
            **latent.terms,
        }

    def draw_noise(self, first_step: int, images: Tensor) -> list[Tensor | None]:
        """Each step's noise on the images' device: drawn for the whole batch, cut to this process's rows."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self._trainer else (0, 1)
        share = images.shape[1]
        noises: list[Tensor | None] = []
        for step in range(first_step, first_step + len(images)):
            drawn = self.bottleneck.draw_noise(
                share * world, self.encoder.positions, generator(self.seed, Stream.NOISE, step)
            )
            noises.append(drawn if drawn is None else drawn[rank * share : (rank + 1) * share])
        some = [noise for noise in noises if noise is not None]
        return list(torch.stack(some).to(images.device, non_blocking=True)) if some else noises

    def configure_optimizers(self) -> Optimizer | None:
        parameters = [p for p in self.parameters() if p.requires_grad]
        if not parameters:
            return None
        optimizer = self.make_optimizer(parameters)
        if self.capture is not None:
            for group in optimizer.param_groups:
                group["capturable"] = True  # its step counts live on the device, where a replay can raise them
        one_cpu = parameters[0].device.type == "cpu" and self._trainer is not None and self.trainer.world_size == 1
        if one_cpu and isinstance(optimizer, Adam) and optimizer.defaults["fused"]:
            update_in_backward(optimizer)
        return optimizer

    def training_step(self, chunk: Chunk, batch_idx: int) -> None:
        noises = self.draw_noise(chunk.first_step, chunk.images)
        step = self._step if self.capture is None else self._replayed_step
        values = [step(images, noise) for images, noise in zip(chunk.images, noises, strict=True)]
        self._record(chunk.first_step, torch.stack(values))

    def _wrapped_optimizer(self) -> LightningOptimizer:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    def _step(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """One optimiser step through Lightning; returns the terms' values, (terms,)."""
        optimizer = self._wrapped_optimizer()
        terms = self.loss(images, noise)
        # Without buffers to add to, backward hands its results over instead of adding them.
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(terms["loss"])
        optimizer.step()
        torch.clear_autocast_cache()  # mixed precision keeps weights cast for a whole chunk otherwise
        self.term_names = list(terms)
        return torch.stack([term.detach() for term in terms.values()])

    def _replayed_step(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """The same step without Lightning, whose Python would not be replayed; Lightning is told that it happened."""
        wrapped = self._wrapped_optimizer()
        if self._replayed is None:
            assert self.capture is not None
            optimizer = wrapped.optimizer

            def step(images: Tensor, noise: Tensor | None) -> Tensor:
                torch.clear_autocast_cache()
                terms = self.loss(images, noise)
                optimizer.zero_grad(set_to_none=True)
                terms["loss"].backward()
                optimizer.step()
                self.term_names = list(terms)
                return torch.stack([term.detach() for term in terms.values()])

            self._replayed = ReplayedSteps(step, self.capture)
        wrapped._on_before_step()
        values = self._replayed(images, noise)
        wrapped._on_after_step()  # global_step counts it
        return values

    def _record(self, first_step: int, values: Tensor) -> None:
        """Adds a chunk's terms, (steps, terms), to the curve and logs the row that ends with it.

        Raises:
            NonFiniteLossError: for the first term that is no finite number.
        """
        names = self.term_names
        values = self.trainer.strategy.reduce(values, reduce_op="mean")  # over devices, whose shares are alike in size
        rows = values.tolist()  # the one wait for the device in a chunk
        for step, row in enumerate(rows, start=first_step + 1):
            bad = [(name, value) for name, value in zip(names, row, strict=True) if not math.isfinite(value)]
            if bad:  # the first one is the loss itself, the sum of the others
                raise NonFiniteLossError(step, *bad[min(1, len(bad) - 1)])
        self.curve_steps += len(rows)
        for row in rows:
            for name, value in zip(names, row, strict=True):
                self.curve[name] = self.curve.get(name, 0.0) + value
        step = first_step + len(rows)
        self.log("loss", rows[-1][0], prog_bar=True, logger=False)
        if step % self.log_every_n_steps == 0 or step == self.trainer.max_steps:
            means = {f"train/{name}": total / self.curve_steps for name, total in self.curve.items()}
            self.curve, self.curve_steps = {}, 0
            for logger in self.loggers:
                logger.log_metrics(means, step=step)

    def validation_step(self, images: Tensor, batch_idx: int) -> None:
        terms = {f"val/{name}": term for name, term in self.loss(images).items()}
        # Lightning counts chunks; a metric of this name gives the row its step.
        terms["step"] = torch.tensor(float(self.trainer.global_step))
        self.log_dict(terms, batch_size=len(images), on_epoch=True, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["curve"] = (self.curve, self.curve_steps)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.curve, self.curve_steps = checkpoint["curve"]
