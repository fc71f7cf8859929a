"""What every bottleneck of conf/bottleneck promises, and what follows between them."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor

from softvq.bottlenecks.base import Bottleneck, Latent

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "bottleneck").glob("*.yaml"))
PAPER = {"identity", "vae", "beta_vae", "info_dropout", "vq", "soft_vq"}
B, M, d = 6, 2, 5

every_bottleneck = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def make(compose_train):
    """Builds the bottleneck of a YAML with codes of width d, in float64."""

    def built(name: str, *overrides: str) -> Bottleneck:
        return instantiate(compose_train(f"bottleneck={name}", f"network.d={d}", *overrides).bottleneck).double()

    return built


def random_heads(bottleneck: Bottleneck, batch: int = B) -> dict[str, Tensor]:
    return {name: torch.randn(batch, M, width).double() for name, width in bottleneck.heads.items()}


def draw(bottleneck: Bottleneck, batch: int = B, seed: int = 0) -> Tensor | None:
    noise = bottleneck.draw_noise(batch, M, torch.Generator().manual_seed(seed))
    return noise if noise is None else noise.double()


def assert_equal(first: Latent, second: Latent) -> None:
    assert torch.equal(first.z, second.z)
    assert torch.equal(first.penalty, second.penalty)
    for found, wanted in ((first.terms, second.terms), (first.taps, second.taps)):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_every_yaml_is_covered():
    assert len(NAMES) >= 8
    assert PAPER | {"raw", "untrained"} <= set(NAMES)


# --- the interface


@every_bottleneck
def test_shapes_are_as_promised(make, name):
    bottleneck = make(name)
    heads = random_heads(bottleneck)
    latent = bottleneck(heads, draw(bottleneck))
    assert bottleneck.heads["z_e"] == d
    assert latent.z.shape == (B, M, d)
    assert latent.penalty.shape == ()
    assert all(term.shape == () for term in latent.terms.values())
    assert all(tap.shape[:2] == (B, M) for tap in latent.taps.values())
    assert torch.equal(latent.taps["z_e"], heads["z_e"])


@every_bottleneck
def test_penalty_and_terms_are_finite_and_no_penalty_is_negative(make, name):
    bottleneck = make(name)
    latent = bottleneck(random_heads(bottleneck), draw(bottleneck))
    assert latent.penalty >= 0
    assert all(torch.isfinite(term) for term in latent.terms.values())


@every_bottleneck
def test_gradients_into_every_head_and_parameter_are_finite_and_not_all_zero(make, name):
    bottleneck = make(name)
    heads = {key: head.requires_grad_() for key, head in random_heads(bottleneck).items()}
    latent = bottleneck(heads, draw(bottleneck))
    ((latent.z * torch.randn(B, M, d)).sum() + latent.penalty).backward()
    for trained in (*heads.values(), *bottleneck.parameters()):
        assert torch.isfinite(trained.grad).all()
        assert trained.grad.any()


@every_bottleneck
def test_weights_scale_the_penalty_and_not_the_logged_terms(make, name):
    bottleneck = make(name)
    weights = [key for key in vars(bottleneck) if key.endswith("_weight")]
    heads, noise = random_heads(bottleneck), draw(bottleneck)
    before = bottleneck(heads, noise)
    for key in weights:
        setattr(bottleneck, key, 2 * getattr(bottleneck, key))
    after = bottleneck(heads, noise)
    assert all(torch.equal(after.terms[key], before.terms[key]) for key in before.terms)
    torch.testing.assert_close(after.penalty, 2 * before.penalty)


@every_bottleneck
def test_a_duplicated_batch_has_the_same_penalty_and_terms(make, name):
    bottleneck = make(name)
    heads, noise = random_heads(bottleneck), draw(bottleneck)
    once = bottleneck(heads, noise)
    twice = bottleneck(
        {key: torch.cat([head, head]) for key, head in heads.items()},
        None if noise is None else torch.cat([noise, noise]),
    )
    torch.testing.assert_close(twice.penalty, once.penalty)
    for key, term in once.terms.items():
        torch.testing.assert_close(twice.terms[key], term)


@every_bottleneck
def test_the_same_noise_gives_the_same_output(make, name):
    bottleneck = make(name)
    heads = random_heads(bottleneck)
    torch.manual_seed(1)
    first = bottleneck(heads, draw(bottleneck))
    torch.manual_seed(2)  # `forward` draws nothing itself
    assert_equal(bottleneck(heads, draw(bottleneck)), first)


@every_bottleneck
def test_other_noise_gives_another_output_and_the_same_code(make, name):
    bottleneck = make(name)
    heads = random_heads(bottleneck)
    first, second = bottleneck(heads, draw(bottleneck, seed=0)), bottleneck(heads, draw(bottleneck, seed=1))
    noisy = draw(bottleneck) is not None
    assert torch.equal(first.z, second.z) != noisy
    assert torch.equal(first.taps["z_e"], second.taps["z_e"])


@every_bottleneck
def test_noise_of_a_part_of_the_batch_is_that_part_of_the_noise(make, name):
    bottleneck = make(name)
    heads, noise = random_heads(bottleneck), draw(bottleneck)
    part = bottleneck({key: head[2:4] for key, head in heads.items()}, noise if noise is None else noise[2:4])
    torch.testing.assert_close(part.z, bottleneck(heads, noise).z[2:4])


@every_bottleneck
def test_two_passes_in_evaluation_give_the_same_taps(make, name):
    bottleneck = make(name).eval()
    heads = random_heads(bottleneck)
    assert_equal(bottleneck(heads, None), bottleneck(heads, None))


@every_bottleneck
def test_evaluation_leaves_parameters_and_buffers_alone(make, name):
    bottleneck = make(name).eval()
    before = {key: value.clone() for key, value in bottleneck.state_dict().items()}
    bottleneck(random_heads(bottleneck), None)
    assert all(torch.equal(value, before[key]) for key, value in bottleneck.state_dict().items())


@every_bottleneck
def test_state_dict_round_trip_restores_the_output(make, name):
    saved = make(name)
    torch.manual_seed(1)
    loaded = make(name)
    heads, noise = random_heads(saved), draw(saved)
    loaded.load_state_dict(saved.state_dict())
    assert_equal(loaded(heads, noise), saved(heads, noise))


@every_bottleneck
def test_a_batch_of_one_is_a_row_of_the_batch(make, name):
    bottleneck = make(name)
    heads, noise = random_heads(bottleneck), draw(bottleneck)
    whole = bottleneck(heads, noise)
    for row in (0, B - 1):
        one = bottleneck(
            {key: head[row : row + 1] for key, head in heads.items()},
            noise if noise is None else noise[row : row + 1],
        )
        torch.testing.assert_close(one.z, whole.z[row : row + 1])
        assert torch.isfinite(one.penalty)


@every_bottleneck
def test_penalty_is_the_mean_of_the_images_penalties(make, name):
    bottleneck = make(name)
    heads, noise = random_heads(bottleneck), draw(bottleneck)
    single = [
        bottleneck(
            {key: head[row : row + 1] for key, head in heads.items()},
            noise if noise is None else noise[row : row + 1],
        ).penalty
        for row in range(B)
    ]
    torch.testing.assert_close(torch.stack(single).mean(), bottleneck(heads, noise).penalty)


@every_bottleneck
def test_single_precision_agrees_with_double(make, name):
    bottleneck = make(name)
    heads, noise = random_heads(bottleneck), draw(bottleneck)
    double = bottleneck(heads, noise)
    single = bottleneck.float()(
        {key: head.float() for key, head in heads.items()}, noise if noise is None else noise.float()
    )
    assert single.z.dtype == single.penalty.dtype == torch.float32
    torch.testing.assert_close(single.z.double(), double.z, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(single.penalty.double(), double.penalty, rtol=1e-4, atol=1e-5)


@every_bottleneck
def test_mixed_precision_computes_finite_numbers(make, name):
    bottleneck = make(name).float()
    heads, noise = random_heads(bottleneck), draw(bottleneck)
    with torch.autocast("cpu", torch.bfloat16):
        heads = {key: head.bfloat16().requires_grad_() for key, head in heads.items()}  # as a linear layer gives them
        latent = bottleneck(heads, noise if noise is None else noise.float())
        loss = latent.z.sum() + latent.penalty
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(head.grad).all() for head in heads.values())


# --- between bottlenecks


def test_beta_one_is_the_vae(make):
    vae, beta_vae = make("vae"), make("beta_vae", "bottleneck.kl_weight=1.0")
    heads, noise = random_heads(vae), draw(vae)
    assert_equal(beta_vae(heads, noise), vae(heads, noise))


def test_beta_scales_the_kl_alone(make):
    vae, beta_vae = make("vae"), make("beta_vae")
    heads, noise = random_heads(vae), draw(vae)
    light, heavy = vae(heads, noise), beta_vae(heads, noise)
    assert torch.equal(heavy.z, light.z)
    assert torch.equal(heavy.terms["kl_loss"], light.terms["kl_loss"])
    torch.testing.assert_close(heavy.penalty, 20 * light.penalty)


@pytest.mark.parametrize("name", ["identity", "raw", "untrained"])
def test_without_a_bottleneck_the_decoder_reads_the_code_at_no_penalty(make, name):
    bottleneck = make(name)
    heads = random_heads(bottleneck)
    latent = bottleneck(heads, None)
    assert torch.equal(latent.z, heads["z_e"])
    assert latent.penalty == 0
    assert not list(bottleneck.parameters())


@pytest.mark.parametrize("name", sorted(PAPER))
def test_all_models_of_the_paper_have_codes_of_one_width(make, name):
    assert make(name).heads["z_e"] == make("identity").heads["z_e"]


@pytest.mark.parametrize(
    ("name", "other_heads"),
    [
        ("identity", {}),
        ("vae", {"log_var": d}),
        ("beta_vae", {"log_var": d}),
        ("info_dropout", {"alpha": d}),
        ("vq", {}),
        ("soft_vq", {"log_var": 7}),
    ],
)
def test_bottlenecks_ask_for_the_heads_of_the_paper(make, name, other_heads):
    bottleneck = make(name, *(["bottleneck.K=7"] if name in ("vq", "soft_vq") else []))
    assert bottleneck.heads == {"z_e": d, **other_heads}
