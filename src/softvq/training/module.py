"""The LightningModule: trains one autoencoder, or several stacked ones, a chunk of optimiser steps at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.optim import Optimizer

from softvq.bottlenecks.base import Noise
from softvq.data.chunks import Chunk
from softvq.health import panel
from softvq.training.autoencoder import Autoencoder
from softvq.training.cuda_graph import Capture, ReplayedSteps
from softvq.training.curve import Curve, NonFiniteLossError
from softvq.training.member import Member
from softvq.training.noise import draw, on_device, stacked
from softvq.training.replicas import StackedAutoencoders
from softvq.training.update_in_backward import UpdateInBackward, can_update_in_backward

# What Lightning calls around backward and update.
GRADIENT_HOOKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")


class TrainingModule(L.LightningModule):
    """Trains a chunk of several optimiser steps as one of Lightning's.

    The trainer's `global_step` and `max_steps` count optimiser steps. A single member is trained as it is; several are
    stacked, and every number below has a last axis of length S then.

    Args:
        members: the runs that are trained at once; they differ in their seeds alone.
        make_optimizer: makes the optimiser from the parameters.
        log_every_n_steps: steps whose mean is one row of the training curve.

    Attributes:
        capture: how a step is captured to be replayed instead of run from Python; None runs each from Python.
        must_replay: refuse a step that cannot be replayed, in place of a warning.
    """

    def __init__(
        self, members: Sequence[Member], make_optimizer: Callable[[Iterable[Any]], Optimizer], log_every_n_steps: int
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.members = list(members)
        models = [member.model for member in members]
        self.net: Autoencoder | StackedAutoencoders = models[0] if len(models) == 1 else StackedAutoencoders(models)
        self.make_optimizer, self.log_every_n_steps = make_optimizer, log_every_n_steps
        self.capture: Capture | None = None
        self.must_replay = False
        self._in_backward: UpdateInBackward | None = None
        self._replayed: ReplayedSteps | None = None
        self._term_names: list[str] = []
        self._statistics: dict[str, Tensor] = {}  # sums since the curve's last row, changed in place by each step

    @property
    def alive(self) -> list[Member]:
        """The members whose training has not failed."""
        return [member for member in self.members if member.failure is None]

    def model_of(self, s: int) -> Autoencoder:
        """Member s with the weights that it has by now, in the precision that it was trained in."""
        model = self.members[s].model
        if isinstance(self.net, StackedAutoencoders):
            weights = self.net.member_weights(s)
            model.to(next((w.dtype for w in weights.values() if w.is_floating_point()), torch.float32))
            model.load_state_dict(weights)
        return model

    def configure_optimizers(self) -> Optimizer | None:
        rates = self.members[0].model.bottleneck.learning_rates
        groups: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                own = next((part for part in rates if f"bottleneck.{part}." in name), "")
                groups.setdefault(own, []).append(parameter)
        if not groups:
            return None
        return self.make_optimizer(
            [{"params": of, **({"lr": rates[part]} if part else {})} for part, of in groups.items()]
        )

    def on_train_start(self) -> None:
        self.on_train_end()  # in case an error ended an earlier training
        # Loading a checkpoint has restored the settings of the session that wrote it.
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                if "capturable" in group:  # its step counts live on the device, where a replay can raise them
                    group["capturable"] = self.capture is not None
            for parameter, state in optimizer.state.items():
                if "step" in state:
                    device = parameter.device if self.capture is not None else torch.device("cpu")
                    state["step"] = torch.as_tensor(state["step"], dtype=torch.float32, device=device)
            single = self.trainer.world_size == 1 and not watches_gradients(self.trainer)
            on_cpu = self.device.type == "cpu" and self.capture is None
            if single and on_cpu and can_update_in_backward(optimizer):
                # A bottleneck may read its parameters' values in any way; the layers of the networks do not.
                layers = [parameter for name, parameter in self.named_parameters() if "bottleneck." not in name]
                self._in_backward = UpdateInBackward(optimizer, self.make_optimizer, layers)

    def on_train_end(self) -> None:
        if self._in_backward:
            self._in_backward.remove()
            self._in_backward = None

    def training_step(self, chunk: Chunk, batch_idx: int) -> None:
        step = self._step if self.capture is None else self._replayed_step
        seen = self.members[0].model.bottleneck.learns_from_labels and chunk.labels is not None
        labels = chunk.labels if seen else [None] * len(chunk.images)
        noises = self._draw_noise(chunk)
        values = [step(*of_step) for of_step in zip(chunk.images, noises, labels, strict=True)]  # type: ignore[arg-type]
        self._record(chunk.first_step, torch.stack(values))

    def _draw_noise(self, chunk: Chunk) -> Iterator[Noise]:
        """The noise of each step, when its turn comes: the processor draws it while a GPU is at the step before.

        It is drawn for the whole batch and cut to this process's rows: a function of (seed, step) alone.
        """
        images = chunk.images  # (steps, B, H, W, C) or (steps, S, B, H, W, C)
        share, world = images.shape[-4], self.trainer.world_size
        rows = slice(self.trainer.global_rank * share, (self.trainer.global_rank + 1) * share)
        for step in range(chunk.first_step, chunk.first_step + len(images)):
            drawn = [draw(member.model, member.seed, step, share * world) for member in self.members]
            yield on_device(drawn, rows, self.device, self.dtype)

    def _step(self, images: Tensor, noise: Noise, labels: Tensor | None) -> Tensor:
        """One optimiser step; returns the terms' values, (terms,) or (terms, S)."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        terms = self._loss(images, noise, labels)
        # Without buffers to add to, backward hands its results over instead of adding them.
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(_total(terms))
        optimizer.step()
        return _values(terms)

    def _replayed_step(self, images: Tensor, noise: Noise, labels: Tensor | None) -> Tensor:
        """The same step without Lightning, whose Python would not be replayed; Lightning is told that it happened."""
        wrapped = self.optimizers()
        assert isinstance(wrapped, LightningOptimizer)
        if self._replayed is None:
            assert self.capture is not None
            optimizer = wrapped.optimizer

            def step(images: Tensor, noise: Noise) -> Tensor:
                terms = self._loss(images, noise, None)
                optimizer.zero_grad(set_to_none=True)
                _total(terms).backward()
                optimizer.step()
                return _values(terms)

            self._replayed = ReplayedSteps(step, self.capture, lambda: self._changed_by(optimizer), self.must_replay)
        wrapped._on_before_step()
        values = self._replayed(images, noise)
        wrapped._on_after_step()  # global_step counts it
        return values

    def _changed_by(self, optimizer: Optimizer) -> list[Tensor]:
        """Every tensor that a training step changes."""
        states = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
        return [*self.parameters(), *self.buffers(), *self._statistics.values(), *states]

    def _loss(self, images: Tensor, noise: Noise, labels: Tensor | None) -> dict[str, Tensor]:
        terms, statistics = self.net.loss(images, noise, labels)
        self._term_names = list(terms)
        with torch.no_grad():
            for name, value in statistics.items():
                if name in self._statistics:
                    self._statistics[name] += value
                else:
                    self._statistics[name] = value.clone()
        return terms

    def _record(self, first_step: int, values: Tensor) -> None:
        """Adds a chunk's terms, (steps, terms) or (steps, terms, S), to the members' curves, and logs a row's end."""
        values = self.trainer.strategy.reduce(values, reduce_op="mean")  # over devices, whose shares are alike in size
        rows = values.reshape(*values.shape[:2], -1).movedim(2, 0).tolist()  # member, step, term; waits for the device
        losses = []
        for member, of_member in zip(self.members, rows, strict=True):
            if member.failure is None:
                try:
                    member.curve.add(first_step, self._term_names, of_member)
                    losses.append(of_member[-1][0])
                except NonFiniteLossError as error:
                    member.failure = error
        if not losses:
            raise next(member.failure for member in self.members if member.failure)
        for member in self.members:
            if member.failure is not None:
                for logger in member.loggers:
                    logger.finalize("failed")
                member.loggers = ()
        self.log("loss", sum(losses) / len(losses), prog_bar=True, logger=False)
        step = first_step + len(values)
        if step % self.log_every_n_steps == 0 or step == self.trainer.max_steps:
            self._hand_over_statistics()
            for member in self.alive:
                row = member.curve.row()
                member.log(row, step)
                if self.trainer.is_global_zero:
                    member.name_collapse(row, step)
            for value in self._statistics.values():
                value.zero_()

    def _hand_over_statistics(self) -> None:
        """Gives each member its part of the sums."""
        for member, own in zip(self.members, self._over_devices(self._statistics), strict=True):
            member.curve.statistics = own

    def _over_devices(self, sums: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Sums, added over the devices, on the processor: the part of each member."""
        reduce = self.trainer.strategy.reduce
        total = {name: reduce(value.clone(), reduce_op="sum").cpu() for name, value in sums.items()}
        if len(self.members) == 1:
            return [total]
        return [{name: value[s].clone() for name, value in total.items()} for s in range(len(self.members))]

    def on_validation_epoch_start(self) -> None:
        self._validated: dict[str, Tensor] = {}

    def validation_step(self, images: Tensor, batch_idx: int) -> None:
        terms, statistics = self.net.loss(images)
        size = statistics["images"]  # of this batch; the last one may be smaller
        weighted = {f"term/{name}": size * value.to(size) for name, value in terms.items()}
        for name, value in {**weighted, **statistics}.items():
            self._validated[name] = self._validated.get(name, 0) + value

    def on_validation_epoch_end(self) -> None:
        for member, own in zip(self.members, self._over_devices(self._validated), strict=True):
            if member.failure is not None:
                continue
            terms = {name: own.pop(name) for name in list(own) if name.startswith("term/")}
            row = {f"val/{name.removeprefix('term/')}": float(value / own["images"]) for name, value in terms.items()}
            health = {f"val/{name}": float(value) for name, value in panel(own).items()}
            member.log({**row, **health}, self.trainer.global_step)
            if len(self.members) == 1:
                self.log_dict({**row, **health}, logger=False)  # for callbacks that watch it

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for member in self.alive:
            for logger in member.loggers:
                logger.save()  # the rows before a checkpoint are not written again after it
        self._hand_over_statistics()
        checkpoint["curves"] = [
            {"sums": member.curve.sums, "steps": member.curve.steps, "statistics": member.curve.statistics}
            for member in self.members
        ]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for member, state in zip(self.members, checkpoint["curves"], strict=True):
            member.curve = Curve(**state)
        self._statistics = {
            name: stacked([member.curve.statistics[name] for member in self.members]).clone()
            for name in self.members[0].curve.statistics
        }
        if self.trainer.global_rank:  # the sums are everybody's: only the first process goes on from them
            for value in self._statistics.values():
                value.zero_()

    def on_fit_start(self) -> None:
        self._statistics = {name: value.to(self.device) for name, value in self._statistics.items()}


def _values(terms: dict[str, Tensor]) -> Tensor:
    torch.clear_autocast_cache()  # mixed precision keeps weights cast for a whole chunk otherwise
    return torch.stack([term.detach() for term in terms.values()])


def _total(terms: dict[str, Tensor]) -> Tensor:
    """The loss to differentiate, (); members share no parameter: each gets its own gradient from their sum."""
    return terms["loss"].sum() if terms["loss"].ndim else terms["loss"]


def watches_gradients(trainer: L.Trainer) -> bool:
    """Whether a callback wants to be called around backward or update, so that no update may happen before it."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return any(is_overridden(hook, callback, L.Callback) for callback in callbacks for hook in GRADIENT_HOOKS)
