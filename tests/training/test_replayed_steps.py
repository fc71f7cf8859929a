"""A replay that is not the step itself is found at once, and training goes on as if none had been tried."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from softvq.bottlenecks.base import Noise
from softvq.training.cuda_graph import Capture, CudaGraphError, Replay, ReplayedSteps

STEPS = 8


class Training:
    """A small regression with buffers, under Adam, and the step that trains it.

    Attributes:
        read: the images and the noise of the last step.
    """

    read: tuple[Tensor, Noise]

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 12))
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=0.01)

    def step(self, images: Tensor, noise: Noise) -> Tensor:
        self.read = images, noise
        x = images.float().flatten(1) / 255
        parts = noise.values() if isinstance(noise, dict) else [noise] if isinstance(noise, Tensor) else []
        loss = (self.net(x + sum(parts)) - x).square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return torch.stack([loss.detach(), x.mean()])

    def state(self) -> list[Tensor]:
        states = [value for state in self.optimizer.state.values() for value in state.values()]
        return [*self.net.parameters(), *self.net.buffers(), *states]

    def run(self, step: Callable[[Tensor, Noise], Tensor], kind: str = "tensor") -> Tensor:
        """The values of each step, (STEPS, 2), of images and noise that are the same for all ways to run them."""
        generator = torch.Generator().manual_seed(1)
        values = []
        for _ in range(STEPS):
            images = torch.randint(256, (5, 2, 2, 3), generator=generator, dtype=torch.uint8)
            drawn = torch.randn(2, 5, 12, generator=generator)
            noise = {"none": None, "tensor": drawn[0], "dict": {"a": drawn[0], "b": drawn[1]}}[kind]
            values.append(step(images, noise))
        return torch.stack(values)


def written_in_place(run: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    """A replay that calls `run`, and the tensor that it writes the values to, as a graph does."""
    values = torch.empty(0)

    def replay() -> None:
        found = run()
        values.resize_(found.shape).copy_(found)

    return replay, values


def faithful(step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    return written_in_place(step)


@pytest.mark.parametrize("kind", ["none", "tensor", "dict"])
def test_a_faithful_replay_is_kept_and_trains_as_python_does(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain, replayed = Training(), Training()
    steps = ReplayedSteps(replayed.step, faithful, replayed.state, required=True)
    torch.testing.assert_close(replayed.run(steps, kind), plain.run(plain.step, kind), rtol=0, atol=0)
    for found, expected in zip(replayed.state(), plain.state(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert steps.captured is not None
    assert not capsys.readouterr().err


# What may go wrong with a capture, each as a capture of a training's step over the buffers that it reads.


def repeats_the_captures_images(training: Training, step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    step()
    images, noise = training.read
    old = images.clone()
    return written_in_place(lambda: training.step(old, noise))


def repeats_the_captures_noise(training: Training, step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    step()
    images, noise = training.read
    assert isinstance(noise, Tensor)
    old = noise.clone()
    return written_in_place(lambda: training.step(images, old))


def updates_nothing(training: Training, step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    def run() -> Tensor:
        before = [tensor.detach().clone() for tensor in training.state()]
        values = step()
        with torch.no_grad():
            for tensor, old in zip(training.state(), before, strict=True):
                tensor.copy_(old)
        return values

    return written_in_place(run)


def updates_no_buffer(training: Training, step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    def run() -> Tensor:
        before = [buffer.clone() for buffer in training.net.buffers()]
        values = step()
        for buffer, old in zip(training.net.buffers(), before, strict=True):
            buffer.copy_(old)
        return values

    return written_in_place(run)


def stops_counting_steps(training: Training, step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    """What Adam does whose count Python keeps: the capture's own is repeated for ever."""
    counts = [state["step"] for state in training.optimizer.state.values()]
    captured = [count.clone() for count in counts]

    def run() -> Tensor:
        now = [count.clone() for count in counts]
        for count, old in zip(counts, captured, strict=True):
            count.copy_(old)
        values = step()
        for count, old in zip(counts, now, strict=True):
            count.copy_(old + 1)  # what the state holds goes on, but has no part in the update
        return values

    return written_in_place(run)


def keeps_its_values(training: Training, step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    values = step()

    def replay() -> None:
        step()

    return replay, values


def runs_out_of_memory(training: Training, step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    step()  # as far as it comes
    raise torch.OutOfMemoryError("CUDA out of memory.\nOf the memory ...")


def fails_when_replayed(training: Training, step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    def run() -> Tensor:
        step()
        raise RuntimeError("CUDA error: an illegal instruction was encountered")

    return written_in_place(run)


def waits_for_the_device(training: Training, step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    raise torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing")


WRONG = {
    repeats_the_captures_images: "tensors otherwise than Python does",
    repeats_the_captures_noise: "tensors otherwise than Python does",
    updates_nothing: "by up to 100% of the change",
    updates_no_buffer: "changes 3 of",
    stops_counting_steps: "tensors otherwise than Python does",
    keeps_its_values: "gives the values",
    runs_out_of_memory: "OutOfMemoryError: CUDA out of memory.",
    fails_when_replayed: "replaying it fails with RuntimeError: CUDA error: an illegal instruction",
    waits_for_the_device: "capturing it fails with AcceleratorError: CUDA error: operation not permitted",
}


def capture_of(kind: Callable[..., tuple[Replay, Tensor]], training: Training) -> Capture:
    return lambda step: kind(training, step)


@pytest.mark.parametrize("kind", WRONG, ids=lambda kind: kind.__name__)
def test_a_wrong_replay_is_found_and_training_goes_on_from_python(
    kind: Callable[..., tuple[Replay, Tensor]], capsys: pytest.CaptureFixture[str]
) -> None:
    plain, replayed = Training(), Training()
    steps = ReplayedSteps(replayed.step, capture_of(kind, replayed), replayed.state, required=False)
    torch.testing.assert_close(replayed.run(steps), plain.run(plain.step), rtol=0, atol=0)
    for found, expected in zip(replayed.state(), plain.state(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    said = capsys.readouterr().err
    assert said.count("warning:") == 1
    assert WRONG[kind] in " ".join(said.split())


@pytest.mark.parametrize("kind", WRONG, ids=lambda kind: kind.__name__)
def test_a_replay_that_is_asked_for_is_refused_if_it_is_wrong(kind: Callable[..., tuple[Replay, Tensor]]) -> None:
    training = Training()
    steps = ReplayedSteps(training.step, capture_of(kind, training), training.state, required=True)
    with pytest.raises(CudaGraphError, match=r"trainer\.cuda_graph=true, but the training step cannot be replayed"):
        training.run(steps)


def test_a_step_that_makes_new_tensors_is_not_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    mean = torch.zeros(3)

    def step(images: Tensor, noise: Noise) -> Tensor:
        nonlocal mean
        mean = 0.9 * mean + 0.1 * images.float().mean((0, 1, 2))
        return mean.clone()

    steps = ReplayedSteps(step, faithful, lambda: [mean], required=False)
    for brightness in range(6):
        steps(torch.full((2, 2, 2, 3), brightness, dtype=torch.uint8), None)
    # 0.1 * sum of 0.9^(5 - i) * i
    assert mean.tolist() == pytest.approx([0.1 * sum(0.9 ** (5 - i) * i for i in range(6))] * 3)
    assert "makes new tensors" in capsys.readouterr().err
