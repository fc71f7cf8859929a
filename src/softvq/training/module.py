"""Training in chunks of steps: what a single autoencoder and several stacked ones share."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from softvq.data.chunks import Chunk
from softvq.training.cuda_graph import Capture, ReplayedSteps
from softvq.training.update_in_backward import UpdateInBackward, can_update_in_backward

# What Lightning calls around backward and update.
GRADIENT_HOOKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")


def watches_gradients(trainer: L.Trainer) -> bool:
    """Whether a callback wants to be called around backward or update, so that each step must go through Lightning."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return any(is_overridden(hook, callback, L.Callback) for callback in callbacks for hook in GRADIENT_HOOKS)


class NonFiniteLossError(RuntimeError):
    """A loss term that is no finite number; training stops and the last good checkpoint stays."""

    def __init__(self, step: int, term: str, value: float) -> None:
        super().__init__(
            f"{term} is {value} at step {step}; the last good checkpoint is kept. "
            "Lower optimizer.lr or the bottleneck's weights, or start over with resume=never"
        )
        self.step, self.term = step, term


class Curve:
    """Means of the loss terms over the steps between two rows of a run's training curve.

    Args:
        sums: of the terms since the last row, by name.
        steps: how many there were.
    """

    def __init__(self, sums: dict[str, float] | None = None, steps: int = 0) -> None:
        self.sums, self.steps = sums or {}, steps

    def add(self, first_step: int, names: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
        """Adds the terms' values of consecutive steps.

        Raises:
            NonFiniteLossError: for the first term that is no finite number.
        """
        for step, row in enumerate(rows, start=first_step + 1):
            bad = [(name, value) for name, value in zip(names, row, strict=True) if not math.isfinite(value)]
            if bad:  # the first one is the loss itself, the sum of the others
                raise NonFiniteLossError(step, *bad[min(1, len(bad) - 1)])
        self.steps += len(rows)
        for row in rows:
            for name, value in zip(names, row, strict=True):
                self.sums[name] = self.sums.get(name, 0.0) + value

    def row(self) -> dict[str, float]:
        """The means since the last row, by names like `train/loss`; begins the next."""
        means = {f"train/{name}": total / self.steps for name, total in self.sums.items()}
        self.sums, self.steps = {}, 0
        return means

    def state(self) -> tuple[dict[str, float], int]:
        """What a checkpoint keeps: the arguments that make it anew."""
        return self.sums, self.steps


class ChunkTraining(L.LightningModule):
    """Trains a chunk of several optimiser steps as one of Lightning's.

    The trainer's `global_step` and `max_steps` count optimiser steps. Where a step's time counts (one CPU with a fused
    Adam, one GPU), neither backward nor update goes through Lightning, which is told that a step was made; unless a
    callback wants to be called there.

    Args:
        optimizer: makes the optimiser from the parameters.
        log_every_n_steps: steps whose mean is one row of the training curve.

    Attributes:
        capture: how a step is captured to be replayed instead of run from Python; None runs each from Python.
    """

    def __init__(self, optimizer: Callable[[Iterable[nn.Parameter]], Optimizer], log_every_n_steps: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.make_optimizer, self.log_every_n_steps = optimizer, log_every_n_steps
        self.capture: Capture | None = None
        self._update_in_backward: UpdateInBackward | None = None
        self._replayed: ReplayedSteps | None = None
        self.term_names: list[str] = []

    @abstractmethod
    def loss(self, images: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """The loss and its unweighted terms, each () or, of S replicas, (S,).

        Shapes: images uint8 (B, H, W, C) or (S, B, H, W, C); noise as the bottleneck draws it, of replicas stacked.
        """

    @abstractmethod
    def draw_noise(self, first_step: int, images: Tensor) -> Iterable[Tensor | None]:
        """The noise of each step of a chunk, on the images' device.

        Shapes: images (steps, B, H, W, C) or (steps, S, B, H, W, C).
        """

    @abstractmethod
    def record(self, first_step: int, values: Tensor) -> None:
        """Adds a chunk's terms, (steps, terms) or (steps, terms, S), to the curve and logs the row that ends with it.

        Raises:
            NonFiniteLossError: if there is nothing left to train.
        """

    def ends_row(self, step: int) -> bool:
        """Whether a row of the training curve ends with this many steps."""
        return step % self.log_every_n_steps == 0 or step == self.trainer.max_steps

    def configure_optimizers(self) -> Optimizer | None:
        parameters = [p for p in self.parameters() if p.requires_grad]
        if not parameters:
            return None
        return self.make_optimizer(parameters)

    def on_train_start(self) -> None:
        self.on_train_end()  # of a training that an error ended
        # After a checkpoint was loaded, which has the settings of the session that wrote it.
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                if "capturable" in group:  # its step counts live on the device, where a replay can raise them
                    group["capturable"] = self.capture is not None
            if self.capture is not None:
                for parameter, state in optimizer.state.items():
                    if "step" in state:
                        state["step"] = torch.as_tensor(state["step"], dtype=torch.float32, device=parameter.device)
            if self._updates_in_backward(optimizer):
                self._update_in_backward = UpdateInBackward(cast(Adam, optimizer))

    def _updates_in_backward(self, optimizer: Optimizer) -> bool:
        single = self.trainer.world_size == 1 and not watches_gradients(self.trainer)
        on_cpu = self.device.type == "cpu" and self.capture is None
        return single and on_cpu and can_update_in_backward(optimizer)

    def on_train_end(self) -> None:
        if self._update_in_backward:
            self._update_in_backward.remove()
            self._update_in_backward = None

    def training_step(self, chunk: Chunk, batch_idx: int) -> None:
        noises = self.draw_noise(chunk.first_step, chunk.images)
        if self.capture is not None:
            step = self._replayed_step
        else:
            step = self._step_updating_in_backward if self._update_in_backward else self._step
        values = [step(images, noise) for images, noise in zip(chunk.images, noises, strict=True)]
        self.record(chunk.first_step, torch.stack(values))

    def _wrapped_optimizer(self) -> LightningOptimizer:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    def _step(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """One optimiser step through Lightning; returns the terms' values, (terms,) or (terms, S)."""
        optimizer = self._wrapped_optimizer()
        terms = self.loss(images, noise)
        # Without buffers to add to, backward hands its results over instead of adding them.
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(_total(terms))
        optimizer.step()
        return self._values(terms)

    def _step_updating_in_backward(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """The same step where backward updates the parameters and leaves no gradients."""
        assert self._update_in_backward is not None
        wrapped = self._wrapped_optimizer()
        wrapped._on_before_step()
        terms = self.loss(images, noise)
        _total(terms).backward()
        self._update_in_backward.finish()
        wrapped._on_after_step()  # global_step counts it
        return self._values(terms)

    def _values(self, terms: dict[str, Tensor]) -> Tensor:
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
                terms = self.loss(images, noise)
                optimizer.zero_grad(set_to_none=True)
                _total(terms).backward()
                optimizer.step()
                return self._values(terms)

            self._replayed = ReplayedSteps(step, self.capture)
        wrapped._on_before_step()
        values = self._replayed(images, noise)
        wrapped._on_after_step()  # global_step counts it
        return values


def _total(terms: dict[str, Tensor]) -> Tensor:
    """The loss to differentiate, (); replicas share no parameter: each gets its own gradient from their sum."""
    return terms["loss"].sum() if terms["loss"].ndim else terms["loss"]
