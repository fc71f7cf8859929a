"""Several autoencoders that differ in their seeds alone, trained at once with stacked weights."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from softvq.tracking.tracker import Tracker
from softvq.training.autoencoder import Autoencoder
from softvq.training.module import ChunkTraining, Curve, NonFiniteLossError

STACKED = "stacked.model."  # what precedes an autoencoder's own names of its weights


class _Loss(nn.Module):
    """An autoencoder whose call is its loss, as `functional_call` wants it."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, noise: Tensor | None) -> dict[str, Tensor]:
        return self.model.loss(images, noise)


class Replicas(ChunkTraining):
    """S autoencoders with stacked parameters, (S, ...), each of which trains as it would by itself.

    A step is one vmap of the autoencoder's loss, whose matrix products become batched ones. Replicas share nothing,
    so the gradient of the sum of their losses is each one's own, and an optimiser that treats every number by itself,
    as Adam does, updates each as it would alone.

    Args:
        members: built as for runs of their own.
        trackers: those of each member.

    Attributes:
        failures: what ended the training of a member whose loss is no finite number; the others go on.
    """

    def __init__(self, members: Sequence[Autoencoder], trackers: Sequence[Sequence[Tracker]]) -> None:
        super().__init__(members[0].make_optimizer, members[0].log_every_n_steps)
        self.members, self.trackers = list(members), trackers
        self.stacked = _Loss(_stacked(members))
        self.curves = [Curve() for _ in members]
        self.failures: dict[int, NonFiniteLossError] = {}

    @property
    def alive(self) -> list[int]:
        """The members that have not failed."""
        return [s for s in range(len(self.members)) if s not in self.failures]

    def member(self, s: int) -> Autoencoder:
        """Member s with the weights that it has by now, where it was built."""
        model = self.members[s]
        model.load_state_dict({name: weights[s] for name, weights in self.stacked.model.state_dict().items()})
        return model

    def loss(self, images: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """The loss and its unweighted terms, each (S,).

        Shapes: images uint8 (S, B, H, W, C); noise as the bottleneck draws it, stacked.
        """
        weights = {**dict(self.stacked.named_parameters()), **dict(self.stacked.named_buffers())}

        def one(weights: dict[str, Tensor], images: Tensor, noise: Tensor | None) -> dict[str, Tensor]:
            return functional_call(self.stacked, weights, (images, noise))

        return vmap(one, in_dims=(0, 0, None if noise is None else 0))(weights, images, noise)

    def draw_noise(self, first_step: int, images: Tensor) -> Iterator[Tensor | None]:
        """Each step's noise when its turn comes: the processor draws it while a GPU is at the step before."""
        for step in range(first_step, first_step + len(images)):
            drawn = [member.noise_of(step, images.shape[2]) for member in self.members]
            some = [noise for noise in drawn if noise is not None]
            yield torch.stack(some).to(images.device, non_blocking=True).type(self.dtype) if some else None

    def record(self, first_step: int, values: Tensor) -> None:
        rows = values.movedim(2, 0).tolist()  # member, step, term; the one wait for the device in a chunk
        for s in self.alive:
            try:
                self.curves[s].add(first_step, self.term_names, rows[s])
            except NonFiniteLossError as error:
                self.failures[s] = error
                for tracker in self.trackers[s]:
                    tracker.finalize("failed")
        if not self.alive:
            raise next(iter(self.failures.values()))
        losses = [rows[s][-1][0] for s in self.alive]
        self.log("loss", sum(losses) / len(losses), prog_bar=True, logger=False)
        step = first_step + len(values)
        if self.ends_row(step):
            for s in self.alive:
                self._log_row(s, self.curves[s].row(), step)

    def _log_row(self, s: int, row: Mapping[str, float], step: int) -> None:
        for tracker in self.trackers[s]:
            tracker.log_metrics(dict(row), step=step)

    def on_validation_epoch_start(self) -> None:
        self._validated: list[tuple[int, Tensor]] = []

    def validation_step(self, images: Tensor, batch_idx: int) -> None:
        self._validated.append((images.shape[1], torch.stack(list(self.loss(images).values()))))

    def on_validation_epoch_end(self) -> None:
        count = sum(size for size, _ in self._validated)
        means = sum(size * values for size, values in self._validated) / count  # (terms, S)
        assert isinstance(means, Tensor)
        for s in self.alive:
            row = {f"val/{name}": value for name, value in zip(self.term_names, means[:, s].tolist(), strict=True)}
            self._log_row(s, row, self.trainer.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["curve"] = [curve.state() for curve in self.curves]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.curves = [Curve(*state) for state in checkpoint["curve"]]


def _stacked(members: Sequence[Autoencoder]) -> Autoencoder:
    """An autoencoder whose parameters and buffers are the members', stacked."""
    model = deepcopy(members[0])
    parameters, buffers = stack_module_state(list(members))
    for name, weights in {**parameters, **buffers}.items():
        owner, _, leaf = name.rpartition(".")
        trained = name in parameters
        value = nn.Parameter(weights.detach(), weights.requires_grad) if trained else weights
        setattr(model.get_submodule(owner), leaf, value)
    return model


def checkpoint_of_member(checkpoint: Mapping[str, Any], s: int) -> dict[str, Any]:
    """The checkpoint that a run of member s alone would have written, cut out of the replicas'.

    Shapes: weights and the optimiser's moments (S, ...) become (...).
    """
    weights = {name.removeprefix(STACKED): tensor[s].clone() for name, tensor in checkpoint["state_dict"].items()}
    optimizers = [
        {
            **optimizer,
            "state": {
                index: {key: value[s].clone() if _is_stacked(key, value) else value for key, value in state.items()}
                for index, state in optimizer["state"].items()
            },
        }
        for optimizer in checkpoint["optimizer_states"]
    ]
    return {**checkpoint, "state_dict": weights, "optimizer_states": optimizers, "curve": checkpoint["curve"][s]}


def checkpoint_of_replicas(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The replicas' checkpoint, put together from their members' of the same step.

    Shapes: weights and the optimiser's moments, (...) in each of S members, become (S, ...).

    Raises:
        ValueError: if the members are not at the same step.
    """
    first = members[0]
    if len(steps := {member["global_step"] for member in members}) > 1:
        raise ValueError(f"members that train at once must be at the same step, got {sorted(steps)}")
    weights = {
        f"{STACKED}{name}": torch.stack([m["state_dict"][name] for m in members]) for name in first["state_dict"]
    }
    optimizers = []
    for number, optimizer in enumerate(first["optimizer_states"]):
        states = [member["optimizer_states"][number]["state"] for member in members]
        stacked = {
            index: {
                key: torch.stack([state[index][key] for state in states]) if _is_stacked(key, value) else value
                for key, value in own.items()
            }
            for index, own in optimizer["state"].items()
        }
        optimizers.append({**optimizer, "state": stacked})
    curves = [member["curve"] for member in members]
    return {**first, "state_dict": weights, "optimizer_states": optimizers, "curve": curves}


def _is_stacked(key: str, value: Any) -> bool:
    """Whether an entry of an optimiser's state has a part for each member; its count of steps is everybody's."""
    return isinstance(value, Tensor) and key != "step"
