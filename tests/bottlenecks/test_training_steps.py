"""Every bottleneck's training goes on, is replayed, stacked and shared between processes as if it were not.

What does not hold for a method by its nature is in tests/support/zoo.py: `ACROSS_IMAGES`, `LABELLED` and `ORDERED`.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
import zoo
from conformance import (
    TwoProcesses,
    every,
    every_trained,
    forward,
    optimizer_of,
    rows,
    steps,
)
from torch import Tensor
from zoo import TRAINED, B, assert_equal, draw, make, mapped, random_heads

from softvq.bottlenecks import processes
from softvq.training.autoencoder import Autoencoder
from softvq.training.cuda_graph import ReplayedSteps
from softvq.training.replicas import StackedAutoencoders


@every
def test_state_dict_round_trip_restores_the_output(name):
    saved = make(name)
    for seed in range(3):
        saved(random_heads(saved), draw(saved, seed=seed))
    torch.manual_seed(1)
    loaded = make(name)
    heads, noise = random_heads(saved), draw(saved)
    loaded.load_state_dict(saved.state_dict())
    assert_equal(forward(loaded, heads, noise), forward(saved, heads, noise))


@every_trained
def test_training_goes_on_from_its_state_bit_for_bit(name):
    unbroken = zoo.model(name)
    losses = steps(unbroken, optimizer_of(unbroken), range(12))
    first = zoo.model(name)
    optimizer = optimizer_of(first)
    assert steps(first, optimizer, range(5)) == losses[:5]
    weights, moments = deepcopy(first.state_dict()), deepcopy(optimizer.state_dict())
    torch.manual_seed(1)
    second = zoo.model(name)
    optimizer = optimizer_of(second)
    second.load_state_dict(weights)
    optimizer.load_state_dict(moments)
    assert steps(second, optimizer, range(5, 12)) == losses[5:]
    for key, value in unbroken.state_dict().items():
        assert torch.equal(second.state_dict()[key], value), key


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TRAINED if name not in zoo.LABELLED])  # which are not replayed
def test_replayed_steps_are_the_steps_themselves(name):
    """A step changes what there is in place and counts nothing in Python: else a captured one would not be it."""
    plain, net = zoo.model(name), zoo.model(name)
    losses, optimizer = steps(plain, optimizer_of(plain), range(12)), optimizer_of(net)

    def step(images: Tensor, noise: Any) -> Tensor:
        loss = net.loss(images, noise)[0]["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()[None]

    def stand_in(run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        values = torch.empty(0)
        before = {key: value.data_ptr() for key, value in net.named_buffers()}

        def replay() -> None:
            found = run()
            values.resize_(found.shape).copy_(found)
            assert {key: value.data_ptr() for key, value in net.named_buffers()} == before

        return replay, values

    def state() -> list[Tensor]:
        moments = [value for of in optimizer.state.values() for value in of.values()]
        return [*net.parameters(), *net.buffers(), *moments]

    replayed = ReplayedSteps(step, stand_in, state, required=True)
    found = [replayed(zoo.images(seed=number), zoo.noise_of(net, number)).item() for number in range(12)]
    assert found == losses


@every_trained
def test_seeds_trained_at_once_are_those_trained_alone(name):
    seeds = (0, 1)
    alone = [zoo.model(name, "mlp", f"seed={seed}") for seed in seeds]
    stacked = StackedAutoencoders([deepcopy(member) for member in alone])
    losses = [steps(member, optimizer_of(member), range(10), seed) for seed, member in zip(seeds, alone, strict=True)]
    optimizer, member = optimizer_of(stacked), zoo.model(name)
    for step in range(10):
        images = torch.stack([zoo.images(seed=1000 * seed + step) for seed in seeds])
        noises = [zoo.noise_of(member, step, seed=seed) for seed in seeds]
        noise: Any = noises[0]
        if isinstance(noise, dict):
            noise = {key: torch.stack([of[key] for of in noises]) for key in noise}
        elif noise is not None:
            noise = torch.stack(noises)
        labels = torch.stack([zoo.labels(seed=step)] * 2) if member.bottleneck.learns_from_labels else None
        loss = stacked.loss(images, noise, labels)[0]["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimizer.step()
        assert loss.tolist() == pytest.approx([of[step] for of in losses], rel=1e-4)
    for s, own in enumerate(alone):
        for key, value in stacked.member_weights(s).items():
            torch.testing.assert_close(value, own.state_dict()[key], rtol=1e-4, atol=1e-4, msg=key)


@every_trained
def test_training_lowers_the_reconstruction_loss(name):
    net = zoo.model(name)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for step in range(60):
        labels = zoo.labels() if net.bottleneck.learns_from_labels else None
        terms = net.loss(zoo.images(), zoo.noise_of(net, step), labels)[0]
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(terms["reconstruction_loss"].item())
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


@every_trained
def test_two_processes_with_half_the_batch_each_are_one(name, monkeypatch):
    # The gradient over processes is the mean of theirs; state outside gradients must come out the same in each.
    net = zoo.model(name).double()
    images, labels = zoo.images(), zoo.labels()
    noise = mapped(Tensor.double, zoo.noise_of(net, 0))

    def trained(part: slice) -> Autoencoder:
        own = deepcopy(net)
        own.loss(images[part], mapped(rows(part), noise), labels[part])[0]["loss"].backward()
        return own

    whole, both = trained(slice(None)), TwoProcesses()
    monkeypatch.setattr(processes, "several", lambda: True)
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    monkeypatch.setattr(processes, "all_reduced", lambda part: sum(both.exchanged(part)))
    monkeypatch.setattr(processes, "all_gathered", lambda part: torch.cat(both.exchanged(part)))
    halves = both.run(lambda rank: trained(slice(rank * B // 2, (rank + 1) * B // 2)))
    for key, parameter in whole.named_parameters():
        shared = (halves[0].get_parameter(key).grad + halves[1].get_parameter(key).grad) / 2
        torch.testing.assert_close(shared, parameter.grad, msg=lambda text, key=key: f"{key}: {text}")
    for half in halves:
        for key, buffer in whole.named_buffers():
            torch.testing.assert_close(half.get_buffer(key), buffer, msg=lambda text, key=key: f"{key}: {text}")
