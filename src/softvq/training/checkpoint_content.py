"""What a checkpoint must hold for a run to go on from it: parts, kinds and numbers that agree with one another."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

FORMAT = 2  # of what is written; checkpoints of format 1, which do not say what run they are of, still load
KINDS = {
    "state_dict": Mapping,
    "optimizer_states": list,
    "callbacks": Mapping,
    "loops": Mapping,
    "global_step": int,
    "pytorch-lightning_version": str,
}
STEPS_TAKEN = ("fit_loop", "epoch_loop.manual_optimization.optim_step_progress", "total", "completed")


def fault_of(content: Any) -> str | None:
    """What is wrong with the content of a file, or None; nothing is built from it."""
    if not isinstance(content, dict) or "curve" not in content:
        return "it holds no trained model"
    for name, kind in KINDS.items():
        if not isinstance(content.get(name), kind):
            return f"it holds no trained model: {name} is absent or no {kind.__name__}"
    about, step = content.get("run", {"format": 1, "step": content["global_step"]}), content["global_step"]
    if not isinstance(about, Mapping) or type(about.get("format")) is not int:
        return "it does not say of which format it is"
    if about["format"] > FORMAT:
        return f"its format {about['format']} is of a newer softvq, this one knows {FORMAT}"
    if "run" in content and about["format"] != FORMAT:
        return f"there is no format {about['format']}"
    if isinstance(step, bool) or step < 0 or about.get("step") != step or _steps_taken(content["loops"]) != step:
        return f"its parts disagree about the step: {step} is one of them"
    if not all(map(_is_plain, content["state_dict"].values())):
        return "its weights are no plain arrays of numbers"
    return _fault_of_curve(content["curve"])


def _steps_taken(loops: Any) -> Any:
    """How many steps Lightning has counted."""
    for name in STEPS_TAKEN:
        loops = loops.get(name) if isinstance(loops, Mapping) else None
    return loops


def _is_plain(value: Any) -> bool:
    """Whether a value is a tensor whose numbers all lie in memory: not sparse, and without strides that repeat some."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _fault_of_curve(curve: Any) -> str | None:
    if isinstance(curve, list | tuple) and len(curve) == 2:  # format 1
        curve = {"sums": curve[0], "steps": curve[1], "statistics": {}}
    good = (
        isinstance(curve, Mapping)
        and curve.keys() == {"sums", "steps", "statistics"}
        and isinstance(curve["sums"], Mapping)
        and all(isinstance(value, float) and math.isfinite(value) for value in curve["sums"].values())
        and isinstance(curve["steps"], int)
        and isinstance(curve["statistics"], Mapping)
        and all(map(_is_plain, curve["statistics"].values()))
    )
    return None if good else "its part of the training curve is not what a run writes"


def other_weights(found: Mapping[str, Tensor], model: nn.Module) -> str | None:
    """The first weight that is missing, too many, or of another shape or kind than the model's."""
    expected = model.state_dict()
    for name in [*expected, *found]:
        shapes = [tuple(weights[name].shape) if name in weights else "absent" for weights in (found, expected)]
        if shapes[0] != shapes[1]:
            return f"its weights are those of another model: {name} is {shapes[0]}, here {shapes[1]}"
        kinds = [_kind(weights[name].dtype) for weights in (found, expected)]
        if kinds[0] != kinds[1]:
            return f"its weights are those of another model: {name} holds {kinds[0]}, here {kinds[1]}"
    return None


def _kind(dtype: torch.dtype) -> str:
    kind = "complex numbers" if dtype.is_complex else "fractions" if dtype.is_floating_point else "whole numbers"
    return "truth values" if dtype is torch.bool else kind


def other_optimizer(states: Sequence[Any], model: nn.Module, step: int) -> str | None:
    """Why an optimiser's state cannot be that of a model's training, if it cannot.

    Shapes: an entry of a parameter's state is as large as the parameter, or has 1 in place of some of its sides.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if len(states) != (1 if trained else 0) and step:
        return f"it holds the states of {len(states)} optimisers, this training has {1 if trained else 0}"
    for optimizer in states:
        groups = optimizer.get("param_groups") if isinstance(optimizer, Mapping) else None
        if not isinstance(groups, list) or not isinstance(optimizer.get("state"), Mapping):
            return "its optimiser has no state"
        if not all(isinstance(group, Mapping) and isinstance(group.get("params"), list) for group in groups):
            return "its optimiser's groups are not what a run writes"
        if sum(len(group["params"]) for group in groups) != len(trained):
            return f"its optimiser is that of another model, which does not have {len(trained)} parameters"
        for own in optimizer["state"].values():
            values = [value for value in own.values() if isinstance(value, Tensor)] if isinstance(own, Mapping) else []
            if not isinstance(own, Mapping) or not all(map(_is_plain, values)):
                return "its optimiser's averages are no plain arrays of numbers"
            if not all(any(_is_of(value, parameter) for parameter in trained) for value in values):
                return "its optimiser's averages are those of another model"
    return None


def _is_of(value: Tensor, parameter: Tensor) -> bool:
    if value.numel() == 1:
        return True
    sides = zip(value.shape, parameter.shape, strict=False)
    return value.ndim == parameter.ndim and all(own in (1, full) for own, full in sides)
