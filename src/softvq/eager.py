"""Updating parameters during backward, while their gradients are in the processor's cache."""

from functools import partial

import torch
from torch import nn
from torch.optim import Adam, Optimizer


def can_update_in_backward(optimizer: Optimizer) -> bool:
    """Whether an optimiser is the fused Adam that `update_in_backward` knows; AdamW and AMSGrad compute otherwise."""
    return (
        type(optimizer) is Adam
        and bool(optimizer.defaults["fused"])
        and not optimizer.defaults["amsgrad"]
        and not optimizer.defaults["decoupled_weight_decay"]
    )


def update_in_backward(optimizer: Adam) -> None:
    """Has a fused Adam update each parameter as soon as backward has its gradient; `step` finds none left.

    The same numbers to the last bit, since Adam treats every parameter by itself, but a gradient is used while it is
    in the cache, and its memory serves the next. For one process and unscaled gradients. A model must not read a
    parameter's values in backward by another way than the parameter itself, as `x @ parameter.detach()` does: they may
    have been updated by then, and torch raises an error.
    """
    for index, group in enumerate(optimizer.param_groups):
        for parameter in group["params"]:
            parameter.register_post_accumulate_grad_hook(partial(_update, optimizer, index))


@torch.no_grad()
def _update(optimizer: Adam, group_index: int, parameter: nn.Parameter) -> None:
    assert parameter.grad is not None
    group, state = optimizer.param_groups[group_index], optimizer.state[parameter]
    if not state:  # as Adam starts it
        state["step"] = torch.zeros(())
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    state["step"].add_(1)
    # What `Adam.step` comes to; called by itself, since there its way takes longer than a small parameter's update.
    torch._fused_adam_(
        [parameter],
        [parameter.grad],
        [state["exp_avg"]],
        [state["exp_avg_sq"]],
        [],
        [state["step"]],
        amsgrad=group["amsgrad"],
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=group["maximize"],
    )
    torch.autograd.graph.increment_version(parameter)  # the fused update does not tell autograd of itself
    parameter.grad = None
