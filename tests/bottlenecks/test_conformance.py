"""What every bottleneck of conf/bottleneck promises: a new one is under test by its YAML alone.

What does not hold for a method by its nature is in tests/support/zoo.py: `ACROSS_IMAGES`, `LABELLED` and `ORDERED`.
"""

import importlib.util
import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import golden
import pytest
import torch
import zoo
from golden import EVALUATIONS, Evaluation, TorchCoder, a_world, check_golden
from torch import Tensor
from zoo import NAMES, TRAINED, B, K, M, assert_equal, d, draw, make, mapped, random_heads

from softvq.bottlenecks import processes
from softvq.bottlenecks.base import Bottleneck
from softvq.training.autoencoder import Autoencoder
from softvq.training.cuda_graph import ReplayedSteps
from softvq.training.replicas import StackedAutoencoders

every = pytest.mark.parametrize("name", NAMES)
every_trained = pytest.mark.parametrize("name", TRAINED)
every_separable = pytest.mark.parametrize("name", [name for name in NAMES if name not in zoo.ACROSS_IMAGES])


def rows(part: slice) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor[part]


def twice(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor])


def forward(bottleneck: Bottleneck, heads: dict[str, Tensor], noise: Any) -> Any:
    """What a copy makes of a batch: the bottleneck's own state stays where it is."""
    return deepcopy(bottleneck)(heads, noise)


def state_of(bottleneck: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in bottleneck.state_dict().items()}


def test_every_yaml_is_covered():
    assert len(NAMES) >= 8
    assert {"raw", "untrained"} == set(NAMES) - set(TRAINED)


# --- shapes


@every
def test_shapes_are_as_promised(name):
    bottleneck = make(name)
    heads = random_heads(bottleneck)
    latent = bottleneck(heads, draw(bottleneck))
    assert bottleneck.heads["z_e"] == d
    assert latent.z.shape == (B, M, d)
    assert latent.penalty.shape == ()
    assert all(term.shape == () for term in latent.terms.values())
    assert all(tap.shape[:2] == (B, M) for tap in latent.taps.values())
    assert latent.taps["z_e"].shape == (B, M, d)
    if bottleneck.codewords is not None:
        assert bottleneck.codewords.shape[1] == d
    if "index" in latent.taps and bottleneck.codewords is not None:
        assert latent.taps["index"].dtype == torch.int64
        assert int(latent.taps["index"].max()) < len(bottleneck.codewords)


@every
def test_taps_mean_what_the_health_panel_takes_them_for(name):
    bottleneck = make(name)
    taps = bottleneck(random_heads(bottleneck), draw(bottleneck)).taps
    if "posterior" in taps:
        assert (taps["posterior"] >= 0).all()
        assert taps["posterior"].shape[-1] == len(bottleneck.codewords)
    if "rate" in taps:
        assert taps["rate"].shape == (B, M)
        assert (taps["rate"] >= -1e-9).all()
    if "log_var" in taps and "posterior" not in taps:
        assert taps["log_var"].shape == (B, M, d)


@every
def test_prior_samples_are_latents(name):
    bottleneck = make(name)
    z = bottleneck.sample_prior(6, M, torch.Generator().manual_seed(0))
    if z is not None:
        again = bottleneck.sample_prior(6, M, torch.Generator().manual_seed(0))
        assert z.shape == (6, M, d)
        assert torch.isfinite(z).all()
        assert torch.equal(z, again)
        assert z.dtype == torch.float32


# The other networks are these with fewer halvings: a bottleneck sees but more positions.
@pytest.mark.parametrize(
    ("name", "network"),
    [
        *((name, network) for name in TRAINED for network in ("mlp", "conv", "conv_spatial")),
        *(("soft_vq", network) for network in zoo.NETWORKS if network not in ("mlp", "conv", "conv_spatial")),
    ],
)
def test_a_step_trains_every_parameter_on_every_network(name, network):
    net = zoo.model(name, network)
    for head in net.encoder.heads.values():
        head.weight.data *= 10  # codes are of a size that training reaches: at first some are all rounded to zero
    terms = zoo.loss(net, batch=32, network=network)
    assert all(term.shape == () for term in terms.values())
    terms["loss"].backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
    # A hidden unit may be dead, a whole layer is not.
    assert [key for key, parameter in net.named_parameters() if not parameter.grad.any()] == []
    reconstruction, _ = net.eval()(zoo.images(network))
    assert reconstruction.shape == zoo.images(network).shape


# --- gradients


@every
def test_gradients_into_every_head_and_parameter_are_finite_and_not_all_zero(name):
    bottleneck = make(name)
    coder, x = TorchCoder(a_world(bottleneck)), torch.rand(golden.B, *golden.SHAPE).double()
    labels = torch.randint(golden.CLASSES, (golden.B,)) if bottleneck.learns_from_labels else None
    bottleneck.objective(coder, x, draw(bottleneck, golden.B, positions=golden.M), labels).loss.backward()
    for key, trained in [*coder.offsets.items(), *bottleneck.named_parameters()]:
        assert torch.isfinite(trained.grad).all(), key
        assert trained.grad.any(), key
    assert all(value.grad is None and not value.requires_grad for value in bottleneck.buffers())


@every
def test_only_methods_that_say_so_learn_from_labels(name):
    net = zoo.model(name)
    noise = zoo.noise_of(net, 0)
    losses = [deepcopy(net).loss(zoo.images(), noise, zoo.labels(seed=seed))[0]["loss"] for seed in (1, 2)]
    assert torch.equal(*losses) != net.bottleneck.learns_from_labels
    assert net.bottleneck.learns_from_labels == (name in zoo.LABELLED)


# --- evaluations in NumPy


@pytest.fixture(scope="session")
def evaluations() -> dict[str, Evaluation]:
    """The NumPy evaluations, which the methods' own tests register."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path != Path(__file__):
            spec = importlib.util.spec_from_file_location(f"golden_{path.stem}", path)
            assert spec is not None
            assert spec.loader is not None
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return EVALUATIONS


@pytest.mark.parametrize(("steps", "training"), [(0, True), (3, True), (3, False)])
@every
def test_values_state_and_gradients_equal_numpy(evaluations, name, steps, training):
    assert name in evaluations, "write its evaluation in NumPy and register it with @golden in a test of its own"
    sized = [f"network.d={zoo.GOLDEN_SIZES.get(name, 3)}", *(["bottleneck.K=4"] if has_codebook(name) else [])]
    numbers = zoo.settings(name, *sized)
    check_golden(make(name, *sized), numbers, evaluations[name], steps, training, zoo.GOLDEN_RTOL.get(name, 1e-9))


def has_codebook(name: str) -> bool:
    return "K" in zoo.configuration(name).bottleneck


# --- evaluation and noise


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


# --- the batch


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


class TwoProcesses:
    """Stands in for two processes, which are threads that hand each other their parts."""

    def __init__(self) -> None:
        self.barrier, self.parts, self.rank = threading.Barrier(2), [None, None], threading.local()

    def exchanged(self, part: Tensor) -> list[Tensor]:
        self.parts[self.rank.number] = part
        self.barrier.wait()
        parts = list(self.parts)
        self.barrier.wait()
        return parts

    def run(self, work: Callable[[int], Any]) -> list[Any]:
        results: list[Any] = [None, None]

        def of_rank(rank: int) -> None:
            self.rank.number = rank
            try:
                results[rank] = work(rank)
            except BaseException:
                self.barrier.abort()
                raise

        threads = [threading.Thread(target=of_rank, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


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


# --- the codebook


@pytest.mark.parametrize("name", [name for name in NAMES if has_codebook(name) and name not in zoo.ORDERED])
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
        assert torch.equal(order[found.taps["index"]], plain.taps["index"])


# --- precision


@every
def test_single_precision_agrees_with_double(name):
    bottleneck = make(name)
    heads, noise = random_heads(bottleneck), draw(bottleneck)
    double = forward(bottleneck, heads, noise)
    single = bottleneck.float()(mapped(Tensor.float, heads), mapped(Tensor.float, noise))
    assert single.z.dtype == single.penalty.dtype == torch.float32
    torch.testing.assert_close(single.z.double(), double.z, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(single.penalty.double(), double.penalty, rtol=1e-4, atol=1e-5)


@every_trained
def test_bfloat16_computes_finite_numbers(name):
    images, labels = zoo.images(), zoo.labels()
    for mixed in (True, False):
        net = zoo.model(name)
        noise = zoo.noise_of(net, 0)
        if mixed:
            with torch.autocast("cpu", torch.bfloat16):
                loss = net.loss(images, noise, labels)[0]["loss"]
        else:
            loss = net.bfloat16().loss(images, mapped(Tensor.bfloat16, noise), labels)[0]["loss"]
        loss.backward()
        numbers = [loss, *(p.grad for p in net.parameters()), *(b for b in net.buffers() if b.is_floating_point())]
        assert all(torch.isfinite(value).all() for value in numbers)


# --- training: state, resuming, replaying, stacking


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


def optimizer_of(net: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr=1e-3)


def steps(net: Autoencoder, optimizer: torch.optim.Optimizer, which: range, seed: int = 0) -> list[float]:
    losses = []
    for step in which:
        labels = zoo.labels(seed=step) if net.bottleneck.learns_from_labels else None
        noise = zoo.noise_of(net, step, seed=seed)
        loss = net.loss(zoo.images(seed=1000 * seed + step), noise, labels)[0]["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


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
    losses = [steps(member, optimizer_of(member), range(20), seed) for seed, member in zip(seeds, alone, strict=True)]
    optimizer, member = optimizer_of(stacked), zoo.model(name)
    for step in range(20):
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
