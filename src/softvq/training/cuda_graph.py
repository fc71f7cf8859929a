"""Replaying one captured training step: what a GPU needs for models whose steps are shorter than Python's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from softvq.bottlenecks.base import Noise
from softvq.console import screen

Step = Callable[[Tensor, Noise], Tensor]
Replay = Callable[[], None]
Capture = Callable[[Callable[[], Tensor]], tuple[Replay, Tensor]]

STEPS_BEFORE_CAPTURE = 3
STEPS_COMPARED = 2  # at the first, a step count that was captured is still right

# How far a replay may lead from where Python's step leads, as a part of the step's change of a tensor. Another order of
# the sums (a batch's images reordered, all bottlenecks) moves it by up to 0.00001, with products of bfloat16 by up to
# 0.0002; noise or images of another step, or a step count that stands still, by 0.06 or more.
TOLERANCE = 0.01
TOLERANCE_16_BIT = 0.2  # of tensors kept in 16 bits themselves, where a change is a few roundings
TOLERANCE_OF_VALUES = 0.001  # of each of the step's values; another order of the sums moves them by up to 0.000001


class CudaGraphError(ValueError):
    """A training step that cannot be replayed, though `trainer.cuda_graph=true` asks for it."""


def capture_cuda_graph(step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    """Records a step's kernels without running them.

    Returns:
        What runs them all again, and the tensor that they write the step's values to.
    """
    graph = torch.cuda.CUDAGraph()
    # The outer context goes back to the current stream; torch before 2.15 stays on that of a capture that failed.
    with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
        values = step()
    return graph.replay, values


@dataclass(frozen=True)
class _Captured:
    """A captured step: what it reads, what runs it, and what it writes its values to."""

    images: Tensor
    noise: Noise
    replay: Replay
    values: Tensor

    def run(self, images: Tensor, noise: Noise) -> Tensor:
        """The step with these images and this noise; returns a copy of its values."""
        self.images.copy_(images)
        for buffer, part in zip(_parts(self.noise), _parts(noise), strict=True):
            buffer.copy_(part)
        self.replay()
        return self.values.clone()


class ReplayedSteps:
    """A training step over fixed buffers: captured once, then replayed with each step's images and noise.

    A replay launches a whole step's kernels at once. What Python does in a step happens in its capture alone, so the
    step must be a function of its arguments and of tensors that it changes in place. Whether it is one is not taken on
    trust: the first replays are compared with the step run by Python on the same state. If they differ, or the step
    cannot be captured, Python runs every step, as if nothing had been tried, and one warning says so.

    Args:
        step: forward, backward and update of one step; returns its values, (terms,) or (terms, S).
        capture: `capture_cuda_graph`, or what stands in for it.
        state: every tensor that a step changes: parameters, buffers and the optimiser's state.
        required: raise an error in place of the warning.
    """

    def __init__(self, step: Step, capture: Capture, state: Callable[[], Sequence[Tensor]], required: bool) -> None:
        self.step, self.capture, self.state, self.required = step, capture, state, required
        self.steps_before_capture = STEPS_BEFORE_CAPTURE  # they allocate what a capture must find in place
        self.steps_to_compare = STEPS_COMPARED
        self.captured: _Captured | None = None

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """One training step; returns its values, a copy.

        Shapes: images uint8 (B, H, W, C); noise as the bottleneck draws it. Both the same at every call.

        Raises:
            CudaGraphError: if the step cannot be replayed and that is required.
        """
        if self.steps_before_capture:
            self.steps_before_capture -= 1
            values = self._run_beside(images, noise)
            if not self.steps_before_capture:
                self._try_to_capture(images, noise)
            return values
        if self.captured is None:
            return self.step(images, noise)
        if self.steps_to_compare:
            self.steps_to_compare -= 1
            return self._run_compared(self.captured, images, noise)
        return self.captured.run(images, noise)

    def _run_beside(self, images: Tensor, noise: Noise) -> Tensor:
        """A step on a stream of its own, as CUDA asks of what runs before a capture."""
        if images.device.type != "cuda":
            return self.step(images, noise)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            values = self.step(images, noise)
        torch.cuda.current_stream().wait_stream(stream)
        return values

    def _try_to_capture(self, images: Tensor, noise: Noise) -> None:
        """Captures the step, if that can be; a capture runs no kernel, but what Python counts it has counted."""
        before = _copies(self.state())
        buffers = images.clone(), _copy_of_noise(noise)
        fault = ""
        try:
            self.captured = _Captured(*buffers, *self.capture(lambda: self.step(*buffers)))
        except Exception as error:
            fault = f"capturing it fails with {_in_words(error)}"
        _put_back(self.state(), before)
        if fault:
            self._give_up(fault)

    def _run_compared(self, captured: _Captured, images: Tensor, noise: Noise) -> Tensor:
        """A step run by Python, taken back and replayed; where the two differ, Python's is the one that counts."""
        state = self.state()
        before = _copies(state)
        values = self.step(images, noise)
        if [tensor.data_ptr() for tensor in self.state()] != [tensor.data_ptr() for tensor in state]:
            self._give_up("it makes new tensors where it should change those there are")
            return values
        after = _copies(state)
        _put_back(state, before)
        try:
            replayed = captured.run(images, noise)
            fault = _fault(before, after, state, values, replayed)
        except Exception as error:
            fault = f"replaying it fails with {_in_words(error)}"
        if not fault:
            return replayed
        _put_back(state, after)
        self._give_up(fault)
        return values

    def _give_up(self, fault: str) -> None:
        """Has Python run every step from now on."""
        self.captured = None
        if self.required:
            raise CudaGraphError(f"trainer.cuda_graph=true, but the training step cannot be replayed: {fault}")
        screen.print_warning(f"Python runs each training step, which is slower than replaying it: {fault}")


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"


def _parts(noise: Noise) -> list[Tensor]:
    """The tensors that noise is made of."""
    if isinstance(noise, dict):
        return [noise[name] for name in sorted(noise)]
    return [] if noise is None else [noise]


def _copy_of_noise(noise: Noise) -> Noise:
    if isinstance(noise, dict):
        return {name: part.clone() for name, part in noise.items()}
    return None if noise is None else noise.clone()


def _copies(state: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in state]


@torch.no_grad()
def _put_back(state: Sequence[Tensor], copies: Sequence[Tensor]) -> None:
    for tensor, copy in zip(state, copies, strict=True):
        tensor.copy_(copy)


def _fault(
    before: Sequence[Tensor],
    after: Sequence[Tensor],
    replayed: Sequence[Tensor],
    values: Tensor,
    replayed_values: Tensor,
) -> str:
    """How a replay differs from the step that Python ran, in words; empty if it does not."""
    off = [distance_of_changes(*tensors) for tensors in zip(before, after, replayed, strict=True)]
    limits = [TOLERANCE_16_BIT if tensor.dtype.itemsize == 2 else TOLERANCE for tensor in before]
    wrong = [float(distance) for distance, limit in zip(off, limits, strict=True) if not distance <= limit]
    if wrong:
        return (
            f"a replay changes {len(wrong)} of {len(off)} tensors otherwise than Python does, "
            f"by up to {max(wrong):.0%} of the change"
        )
    if not torch.allclose(replayed_values, values, rtol=TOLERANCE_OF_VALUES, atol=1e-5 * float(values.abs().max())):
        return f"a replay gives the values {replayed_values.tolist()} where Python gives {values.tolist()}"
    return ""


@torch.no_grad()
def distance_of_changes(before: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """||other - one|| / ||one - before||, (): how far apart two steps from the same tensor lead; 0 if they do not."""
    before, one, other = before.double(), one.double(), other.double()
    apart = (other - one).norm()
    return torch.where(apart == 0, apart, apart / (one - before).norm())
