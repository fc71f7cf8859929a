"""Every bottleneck is a function of its arguments, image by image, whatever else is in the batch.

What does not hold for a method by its nature is in tests/support/zoo.py: `ACROSS_IMAGES`, `LABELLED` and `ORDERED`.
"""

from copy import deepcopy

import pytest
import torch
import zoo
from conformance import (
    can_be_permuted,
    every,
    every_separable,
    forward,
    rows,
    state_of,
    twice,
)
from torch import Tensor
from zoo import NAMES, B, K, M, assert_equal, draw, make, mapped, random_heads


@every
def test_two_passes_in_evaluation_are_equal_and_leave_the_state_alone(name):
    bottleneck = make(name).eval()
    before, heads = state_of(bottleneck), random_heads(bottleneck)
    assert_equal(bottleneck(heads, None), bottleneck(heads, None))
    assert all(torch.equal(value, before[key]) for key, value in bottleneck.state_dict().items())


@every
def test_the_same_noise_gives_the_same_output(name):
    bottleneck = make(name)
    heads = random_heads(bottleneck)
    torch.manual_seed(1)
    first = forward(bottleneck, heads, draw(bottleneck))
    torch.manual_seed(2)  # `forward` draws nothing itself
    assert_equal(forward(bottleneck, heads, draw(bottleneck)), first)


@every
def test_noise_is_drawn_in_float32_for_each_image_and_from_the_generator_alone(name):
    bottleneck = make(name)
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        drawn.append(bottleneck.draw_noise(B, M, torch.Generator().manual_seed(0)))
    first, second = (noise if isinstance(noise, dict) else {"noise": noise} for noise in drawn)
    for key, tensor in first.items():
        if tensor is not None:
            assert tensor.shape[0] == B
            assert tensor.dtype == torch.float32
            assert torch.equal(tensor, second[key])


@every
def test_noise_never_changes_the_code_that_the_probes_read(name):
    bottleneck = make(name)
    heads = random_heads(bottleneck)
    first, second = (forward(bottleneck, heads, draw(bottleneck, seed=seed)) for seed in (0, 1))
    assert torch.equal(first.taps["z_e"], second.taps["z_e"])


@every
def test_an_image_is_evaluated_alone_as_in_its_batch(name):
    bottleneck = make(name).eval()
    heads = random_heads(bottleneck)
    whole = bottleneck(heads, None)
    for row in (slice(0, 1), slice(B - 1, B)):
        one = bottleneck(mapped(rows(row), heads), None)
        torch.testing.assert_close(one.z, whole.z[row])
        assert torch.isfinite(one.penalty)


@every
def test_a_duplicated_batch_has_the_same_loss(name):
    net = zoo.model(name).double()
    images, labels = zoo.images(), zoo.labels()
    noise = mapped(Tensor.double, zoo.noise_of(net, 0))
    once = deepcopy(net).loss(images, noise, labels)[0]
    doubled = deepcopy(net).loss(twice(images), mapped(twice, noise), twice(labels))[0]
    for key, term in once.items():
        torch.testing.assert_close(doubled[key], term)


@every_separable
def test_the_loss_is_the_mean_of_the_images_losses(name):
    net = zoo.model(name).double()
    images, labels = zoo.images(), zoo.labels()
    noise = mapped(Tensor.double, zoo.noise_of(net, 0))
    whole = deepcopy(net).loss(images, noise, labels)[0]["loss"]
    single = [
        deepcopy(net).loss(images[row], mapped(rows(row), noise), labels[row])[0]["loss"]
        for row in (slice(i, i + 1) for i in range(B))
    ]
    torch.testing.assert_close(torch.stack(single).mean(), whole)


@every
def test_weights_scale_the_penalty_and_not_the_logged_terms(name):
    bottleneck = make(name)
    heads, noise = random_heads(bottleneck), draw(bottleneck)
    before = forward(bottleneck, heads, noise)
    for part in (part for part in bottleneck.modules() if type(part).__module__.startswith("softvq")):
        for key in [key for key in vars(part) if key.endswith("_weight")]:
            setattr(part, key, 2 * getattr(part, key))
    after = forward(bottleneck, heads, noise)
    assert all(torch.equal(after.terms[key], before.terms[key]) for key in before.terms)
    torch.testing.assert_close(after.penalty, 2 * before.penalty)


@pytest.mark.parametrize("name", [name for name in NAMES if can_be_permuted(name)])
def test_permuting_the_codebook_changes_nothing(name):
    bottleneck, order = make(name), torch.randperm(K)

    def permuted(tensor: Tensor) -> Tensor:
        axes = [axis for axis, size in enumerate(tensor.shape) if size == K]
        return tensor.index_select(axes[0], order) if axes else tensor

    heads = random_heads(bottleneck)
    plain = forward(bottleneck, heads, None)
    other = deepcopy(bottleneck)
    other.load_state_dict({key: permuted(value) for key, value in bottleneck.state_dict().items()})
    assert not torch.equal(other.codewords, bottleneck.codewords)
    found = forward(other, mapped(permuted, heads), None)
    torch.testing.assert_close(found.z, plain.z)
    torch.testing.assert_close(found.penalty, plain.penalty)
    if "index" in plain.taps:
        stages = torch.arange(len(bottleneck.codewords) // K)[:, None]  # each has K codewords of its own
        assert torch.equal((order + K * stages).flatten()[found.taps["index"]], plain.taps["index"])
