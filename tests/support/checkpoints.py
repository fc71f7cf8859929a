"""Small checkpoints of a module of one member, and the files that they are kept in."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from softvq.training.checkpoint import (
    Generations,
    Identity,
    RunCheckpoints,
)
from softvq.training.checkpoint_content import STEPS_TAKEN

WHO = Identity("0123456789abcdef", 7)


def content(step: int, **changes: Any) -> dict[str, Any]:
    """A small checkpoint as the training module's, of a single member."""
    generator = torch.Generator().manual_seed(step)
    return {
        "state_dict": {"net.weight": torch.randn(20, 30, generator=generator), "net.bias": torch.zeros(20)},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(float(step))}}, "param_groups": [{"params": [0, 1]}]}],
        "lr_schedulers": [],
        "loops": {"fit_loop": {STEPS_TAKEN[1]: {"total": {"ready": step, "completed": step}}}},
        "pytorch-lightning_version": "2.6.0",
        "callbacks": {"ResumeCheckpoint": {"trained_s": 1.5}},
        "global_step": step,
        "epoch": 0,
        "curves": [{"sums": {"loss": 1.0}, "steps": 3, "statistics": {}}],
        **changes,
    }


def files(folder: Path, identity: Identity = WHO) -> RunCheckpoints:
    model = nn.Linear(30, 20)
    return RunCheckpoints([(Generations(folder / "last.ckpt"), identity)], [model], lambda: [0], [folder / "last.ckpt"])


def same(a: Any, b: Any) -> bool:
    """Whether nested values are equal, tensors to the last bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b
