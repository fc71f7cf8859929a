"""Every bottleneck of conf/bottleneck has the shapes and the numbers that it promises; a new one is tested by its YAML.

What does not hold for a method by its nature is in tests/support/zoo.py: `ACROSS_IMAGES`, `LABELLED` and `ORDERED`.
"""

import importlib.util
from pathlib import Path

import pytest
import torch
import zoo
from conformance import (
    every,
    every_trained,
    forward,
    has_codebook,
)
from golden import EVALUATIONS, Evaluation, check_golden
from torch import Tensor
from zoo import NAMES, TRAINED, B, M, d, draw, make, mapped, random_heads


def test_every_yaml_is_covered():
    assert len(NAMES) >= 8
    assert {"raw", "untrained"} == set(NAMES) - set(TRAINED)


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
