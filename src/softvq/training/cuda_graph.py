"""Replaying one captured training step: what a GPU needs for models whose steps are shorter than Python's."""

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor | None], Tensor]
Replay = Callable[[], None]
Capture = Callable[[Callable[[], Tensor]], tuple[Replay, Tensor]]

STEPS_BEFORE_CAPTURE = 3


def capture_cuda_graph(step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    """Records a step's kernels without running them.

    Returns:
        What runs them all again, and the tensor that they write the step's values to.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        values = step()
    return graph.replay, values


class ReplayedSteps:
    """A training step over fixed buffers: captured once, then replayed with each step's images and noise.

    A replay launches a whole step's kernels at once. What Python does in a step happens in its capture alone, so the
    step must be a function of its arguments and of tensors that it changes in place: parameters and the optimiser's
    state.

    Args:
        step: forward, backward and update of one step; returns its values, (terms,).
        capture: `capture_cuda_graph`, or what stands in for it.
    """

    def __init__(self, step: Step, capture: Capture) -> None:
        self.step, self.capture = step, capture
        self.steps_before_capture = STEPS_BEFORE_CAPTURE  # they allocate what a capture must find in place
        self.replay: Replay | None = None

    def __call__(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """One training step; returns its values, (terms,), a copy.

        Shapes: images uint8 (B, H, W, C); noise as the bottleneck draws it. Both the same at every call.
        """
        if self.steps_before_capture:
            self.steps_before_capture -= 1
            return self._run_beside(images, noise)
        if self.replay is None:
            self.images, self.noise = images.clone(), None if noise is None else noise.clone()
            self.replay, self.values = self.capture(lambda: self.step(self.images, self.noise))
        self.images.copy_(images)
        if self.noise is not None and noise is not None:
            self.noise.copy_(noise)
        self.replay()
        return self.values.clone()

    def _run_beside(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """A step on a stream of its own, as CUDA asks of what runs before a capture."""
        if images.device.type != "cuda":
            return self.step(images, noise)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            values = self.step(images, noise)
        torch.cuda.current_stream().wait_stream(stream)
        return values
