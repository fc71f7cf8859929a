"""Updating parameters during backward, while their gradients are in the processor's cache."""

from functools import partial

import torch
from torch import nn
from torch.optim import Adam
from torch.optim.adam import adam

LARGE = 50_000  # numbers from which the call of its own is worth it


def update_in_backward(optimizer: Adam) -> None:
    """Has a fused Adam update each large parameter as soon as backward has its gradient; `step` updates the others.

    The same numbers to the last bit, since Adam treats every parameter by itself, but a gradient is used while it is
    in the cache, and its memory serves the next. For one process and unscaled gradients.
    """
    for index, group in enumerate(optimizer.param_groups):
        for parameter in group["params"]:
            if parameter.numel() >= LARGE:
                parameter.register_post_accumulate_grad_hook(partial(_update, optimizer, index))


@torch.no_grad()
def _update(optimizer: Adam, group_index: int, parameter: nn.Parameter) -> None:
    assert parameter.grad is not None
    group, state = optimizer.param_groups[group_index], optimizer.state[parameter]
    if not state:  # as Adam starts it
        state["step"] = torch.zeros(())
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    adam(
        [parameter],
        [parameter.grad],
        [state["exp_avg"]],
        [state["exp_avg_sq"]],
        [],
        [state["step"]],
        fused=True,
        amsgrad=group["amsgrad"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=group["maximize"],
    )
    parameter.grad = None
