"""Updating parameters during backward, while their gradients are in the processor's cache."""

from functools import partial

import torch
from torch import nn
from torch.optim import Adam


def update_in_backward(optimizer: Adam) -> None:
    """Has a fused Adam update each parameter as soon as backward has its gradient; `step` finds none left.

    The same numbers to the last bit, since Adam treats every parameter by itself, but a gradient is used while it is
    in the cache, and its memory serves the next. For one process and unscaled gradients.
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
    parameter.grad = None
