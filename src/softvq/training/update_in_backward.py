"""Updating parameters during backward, while their gradients are in the processor's cache."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

LARGE = 2**14  # elements from which a gradient is worth using at once; of smaller ones a single call updates all


def can_update_in_backward(optimizer: Optimizer) -> bool:
    """Whether an optimiser is the fused Adam that `UpdateInBackward` knows; AdamW and AMSGrad compute otherwise."""
    return type(optimizer) is Adam and all(
        group["fused"] and not group["amsgrad"] and not group["decoupled_weight_decay"]
        for group in optimizer.param_groups
    )


class UpdateInBackward:
    """Has a fused Adam update the large parameters as soon as backward has their gradients, the others after it.

    The same numbers to the last bit, since Adam treats every parameter by itself, but a large gradient is used while it
    is in the cache, and its memory serves the next. For one process and unscaled gradients. A model must not read a
    parameter's values in backward by another way than the parameter itself, as `x @ parameter.detach()` does: they may
    have been updated by then, and torch raises an error.

    Args:
        optimizer: whose `step` is not to be called until `remove`; its state and settings stay its own.
    """

    def __init__(self, optimizer: Adam) -> None:
        self.optimizer = optimizer
        self.hooks = [
            parameter.register_post_accumulate_grad_hook(partial(self._update_one, index))
            for index, group in enumerate(optimizer.param_groups)
            for parameter in group["params"]
            if parameter.requires_grad and parameter.numel() >= LARGE
        ]

    def finish(self) -> None:
        """Updates what backward left, parameters among it that the optimiser was given later."""
        for index, group in enumerate(self.optimizer.param_groups):
            self._update(index, group["params"])

    def remove(self) -> None:
        """Lets backward leave all gradients again."""
        for hook in self.hooks:
            hook.remove()

    def _update_one(self, group_index: int, parameter: nn.Parameter) -> None:
        self._update(group_index, [parameter])

    @torch.no_grad()
    def _update(self, group_index: int, parameters: Sequence[nn.Parameter]) -> None:
        """Does what `Adam.step` comes to, whose way there takes longer than a small parameter's update."""
        with_gradients = [(p, p.grad) for p in parameters if p.grad is not None]
        if not with_gradients:
            return
        group, states = self.optimizer.param_groups[group_index], [self._state(p) for p, _ in with_gradients]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            [parameter for parameter, _ in with_gradients],
            [gradient for _, gradient in with_gradients],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            amsgrad=group["amsgrad"],
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )
        for parameter, _ in with_gradients:
            torch.autograd.graph.increment_version(parameter)  # the fused update does not tell autograd of itself
            parameter.grad = None

    def _state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        state = self.optimizer.state[parameter]
        if not state:  # as Adam starts it
            state["step"] = torch.zeros((), dtype=torch.float32)  # which counts on beyond 256 in every precision
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state
