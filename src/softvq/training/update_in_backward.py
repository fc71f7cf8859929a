"""Updates large parameters during backward, while their gradients are in the processor's cache.

The recipe is that of PyTorch's tutorial "How to save memory by fusing the optimizer step into the backward pass": an
optimiser for each parameter, called by a hook as soon as the parameter's gradient is complete.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

LARGE = 2**14  # numbers in a parameter that is updated in backward; one call updates all smaller ones later


def can_update_in_backward(optimizer: Optimizer) -> bool:
    """Whether an optimiser treats every parameter by itself, so that one may be updated before another."""
    return type(optimizer) in (Adam, AdamW, SGD)


class UpdateInBackward:
    """Lets backward update the large parameters; `optimizer.step()` then finds only the others' gradients.

    The numbers are the same to the last bit. A large gradient is used while it is in the cache, and its memory serves
    the next. A model must not read the values of a parameter in backward by another way than the parameter itself, as
    `x @ parameter.detach()` does: they may have been updated by then, and torch raises an error.

    Args:
        optimizer: keeps all state, so that checkpoints do not depend on this class.
        make_optimizer: makes another one of its kind for some parameters.
        parameters: those among which the large ones are updated in backward.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        make_optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        parameters: Iterable[nn.Parameter],
    ) -> None:
        self.hooks = []
        large = {parameter for parameter in parameters if parameter.numel() >= LARGE and parameter.requires_grad}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter in large:
                    own = make_optimizer([parameter])
                    own.state = optimizer.state
                    self.hooks.append(parameter.register_post_accumulate_grad_hook(partial(_update, own, group)))

    def remove(self) -> None:
        """Lets backward leave all gradients again."""
        for hook in self.hooks:
            hook.remove()


def _update(own: Optimizer, group: dict[str, Any], parameter: nn.Parameter) -> None:
    # A callback may have changed a setting, as a schedule of the learning rate does.
    own.param_groups[0].update({key: value for key, value in group.items() if key != "params"})
    own.step()
    torch.autograd.graph.increment_version(parameter)  # autograd does not notice a fused update by itself
    parameter.grad = None
