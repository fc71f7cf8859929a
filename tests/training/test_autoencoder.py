"""The Lightning module: its loss beside NumPy, its chunks of steps beside a plain loop, its noise and its seed."""

import itertools
import math
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger

from softvq.data import chunks
from softvq.data.digits import Digits
from softvq.data.prepared import prepare
from softvq.data.schedule import Schedule
from softvq.randomness import Stream, generator
from softvq.run.build import build_data, build_model
from softvq.training import update_in_backward as eager
from softvq.training.module import NonFiniteLossError

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*{message}.*")
    for message in ("You defined a `validation_step`", "GPU available but not used", "LeafSpec", "`srun` command")
]

SMALL_MLP = ("network.d=4", "network.encoder.hidden=[16,12]", "network.decoder.hidden=[12,16]")
SMALL_CONV = ("network.d=4", "network.encoder.channels=[3,4,5,6]", "network.decoder.channels=[6,5,4]")
BOTTLENECKS = ("identity", "vae", "beta_vae", "info_dropout", "vq", "soft_vq")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return SimpleNamespace(root=root, arrays=prepare(Digits("digits"), root))


@pytest.fixture
def configure(compose_train, digits):
    """A small configuration on digits."""

    def configured(bottleneck="soft_vq", *overrides):
        config = compose_train("data=digits", f"bottleneck={bottleneck}")
        K = ["bottleneck.K=8"] if "K" in config.bottleneck else []
        config.merge_with_dotlist([*SMALL_MLP, *K, f"data.root={digits.root}", *overrides])
        return config

    return configured


@pytest.fixture
def build(configure, digits):
    def built(*arguments):
        info = digits.arrays.info
        return build_model(configure(*arguments), info.image_shape, info.pixel_variance)

    return built


class Rows(DummyLogger):
    def __init__(self):
        super().__init__()
        self.rows = {}

    def log_metrics(self, metrics, step=None):
        self.rows[step] = metrics


def fit(model, config, callbacks=()):
    rows = Rows()
    trainer = L.Trainer(
        max_steps=config.trainer.max_steps,
        max_epochs=-1,
        accelerator="cpu",
        devices=1,
        logger=rows,
        callbacks=list(callbacks),
        limit_val_batches=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=config.data.root,
    )
    trainer.fit(model, build_data(config))
    return trainer, rows.rows


def some_images(digits, B=6):
    return torch.from_numpy(np.array(digits.arrays.train_images[:B]))


# --- the loss


def numpy_layers(module, x):
    """Dense layers and their activations, in float64."""
    for layer in module:
        if isinstance(layer, torch.nn.Linear):
            x = x @ layer.weight.detach().numpy().astype(np.float64).T + layer.bias.detach().numpy()
        elif isinstance(layer, torch.nn.ReLU):
            x = np.maximum(x, 0)
        elif isinstance(layer, torch.nn.Sigmoid):
            x = 1 / (1 + np.exp(-x))
    return x


def test_loss_of_uint8_images_equals_numpy(build, digits):
    model = build("soft_vq", "bottleneck.sigma_eps=0.3", "penalty_weight=0.5")
    images, noise = some_images(digits), torch.randn(6, 1, 4)
    with torch.no_grad():
        for parameter in model.parameters():  # biases and scales away from their start
            parameter.add_(0.1 * torch.randn_like(parameter))
    found = model.loss(images, noise)

    x = images.numpy() / 255
    h = numpy_layers(model.encoder.body, x.reshape(6, 64))
    z_e, log_var = (numpy_layers([model.encoder.heads[name]], h) for name in ("z_e", "log_var"))
    mu = model.bottleneck.codebook.detach().numpy().astype(np.float64)
    noisy = z_e + 0.3 * noise[:, 0].numpy()
    density = np.exp(-((noisy[:, None] - mu) ** 2).sum(-1) / (2 * np.exp(log_var))) / np.exp(log_var) ** (4 / 2)
    z_q = density / density.sum(-1, keepdims=True) @ mu
    reconstruction = numpy_layers([*model.decoder.body, *model.decoder.output], z_q).reshape(x.shape)
    variance = (digits.arrays.train_images / 255).var()
    reconstruction_loss = ((reconstruction - x) ** 2).sum() / (2 * variance) / 6
    term = ((noisy - z_q) ** 2).sum() / 6
    expected = {
        "loss": reconstruction_loss + 0.5 * (18.375 + 45.9375) * term,
        "reconstruction_loss": reconstruction_loss,
        "codebook_loss": term,
        "commitment_loss": term,
        "log_var": log_var.mean(),
    }
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-5), name
    assert list(found)[:2] == ["loss", "reconstruction_loss"]


@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_loss_is_reconstruction_plus_weighted_penalty_of_unweighted_terms(build, digits, bottleneck):
    model = build(bottleneck, "penalty_weight=0.25")
    images = some_images(digits)
    noise = model.draw_noise(0, images[None])[0]
    terms = model.loss(images, noise)
    reconstruction, latent = model(images, noise)
    assert terms["reconstruction_loss"] == model.reconstruction(reconstruction, model.pixels(images))
    torch.testing.assert_close(terms["loss"], terms["reconstruction_loss"] + 0.25 * latent.penalty)
    assert {name: term.item() for name, term in terms.items() if name in latent.terms} == {
        name: term.item() for name, term in latent.terms.items()
    }


@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_a_duplicated_batch_has_the_same_loss(build, digits, bottleneck):
    model, images = build(bottleneck), some_images(digits)
    noise = model.draw_noise(0, images[None])[0]
    twice = model.loss(torch.cat([images, images]), None if noise is None else torch.cat([noise, noise]))
    for name, term in model.loss(images, noise).items():
        torch.testing.assert_close(twice[name], term)


@pytest.mark.parametrize(
    ("network", "small", "shape"),
    [
        ("mlp", SMALL_MLP, (8, 8, 1)),
        ("conv", SMALL_CONV, (32, 32, 3)),
        ("conv_spatial", SMALL_CONV, (32, 32, 3)),
    ],
)
@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_a_step_trains_every_parameter_of_every_bottleneck_on_every_network(
    compose_train, bottleneck, network, small, shape
):
    config = compose_train("data=digits", f"bottleneck={bottleneck}")
    config.network = compose_train("data=digits", f"network={network}").network
    config.merge_with_dotlist([*small, *(["bottleneck.K=3"] if "K" in config.bottleneck else [])])
    model = build_model(config, shape, 0.1)
    images = torch.randint(256, (1, 32, *shape), dtype=torch.uint8)
    loss = model.loss(images[0], model.draw_noise(0, images)[0])["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    # A hidden unit may be dead, a whole layer is not.
    assert [name for name, parameter in model.named_parameters() if not parameter.grad.any()] == []


def test_pixels_are_uint8_over_255_plus_the_offset(build):
    images = torch.arange(256, dtype=torch.uint8).reshape(4, 8, 8, 1)
    for offset in (0.0, -0.5):
        pixels = build("identity", f"data.pixel_offset={offset}").pixels(images)
        np.testing.assert_allclose(pixels.flatten(), np.arange(256) / 255 + offset, atol=1e-7)
    assert images.flatten().tolist() == list(range(256))


@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_without_noise_two_passes_agree(build, digits, bottleneck):
    model, images = build(bottleneck).eval(), some_images(digits)
    (first, latent), (second, again) = model(images), model(images)
    assert torch.equal(first, second)
    assert torch.equal(latent.taps["z_e"], again.taps["z_e"])


def test_a_negative_penalty_weight_is_refused_by_key_and_value(build):
    with pytest.raises(ValueError, match=r"penalty_weight must be at least 0, got -0\.5"):
        build("vae", "penalty_weight=-0.5")


# --- the seed


def test_seed_alone_decides_the_parameters_and_zero_is_a_seed(build):
    states = []
    for seed in (0, 0, 1):
        torch.rand(len(states) + 1)  # what was drawn before does not matter
        states.append(build("soft_vq", f"seed={seed}").state_dict())
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["bottleneck.codebook"], other["bottleneck.codebook"])
    assert not torch.equal(first["encoder.heads.z_e.weight"], other["encoder.heads.z_e.weight"])


@pytest.mark.parametrize("bottleneck", ["vae", "info_dropout", "soft_vq"])
def test_noise_is_a_function_of_seed_and_step(build, bottleneck):
    def drawn(seed, first_step, steps):
        images = torch.zeros(steps, 6, 8, 8, 1, dtype=torch.uint8)
        return torch.stack(build(bottleneck, f"seed={seed}").draw_noise(first_step, images))

    unbroken = drawn(0, 0, 8)
    torch.rand(5)
    assert torch.equal(torch.cat([drawn(0, 0, 3), drawn(0, 3, 1), drawn(0, 4, 4)]), unbroken)
    assert unbroken.shape == (8, 6, 1, 4)
    assert len(unbroken.flatten().unique()) == unbroken.numel()
    assert not torch.isin(drawn(1, 0, 8), unbroken).any()


def test_devices_share_the_noise_of_the_whole_batch(build):
    model = build("soft_vq")
    whole = torch.stack(model.draw_noise(5, torch.zeros(2, 6, 8, 8, 1)))
    shares = []
    for rank in range(3):
        model._trainer = SimpleNamespace(global_rank=rank, world_size=3)
        shares.append(torch.stack(model.draw_noise(5, torch.zeros(2, 2, 8, 8, 1))))
    assert torch.equal(torch.cat(shares, dim=1), whole)


@pytest.mark.parametrize("bottleneck", ["identity", "vq"])
def test_deterministic_bottlenecks_draw_no_noise(build, bottleneck):
    assert build(bottleneck).draw_noise(0, torch.zeros(3, 6, 8, 8, 1)) == [None, None, None]


# --- training


def plain_loop(model, config, digits, noisy):
    """Step by step, without Lightning: the loss terms of each step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, fused=True)
    schedule = Schedule(len(digits.arrays.train_images), config.data.batch_size, config.seed)
    history = []
    for step in range(config.trainer.max_steps):
        images = torch.from_numpy(digits.arrays.train_images[schedule.batch(step).numpy()])
        noise = torch.randn(len(images), 1, 4, generator=generator(config.seed, Stream.NOISE, step))
        terms = model.loss(images, noise if noisy else None)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        history.append({name: term.item() for name, term in terms.items()})
    return history


@pytest.fixture
def some_are_large(monkeypatch):
    """Weights of small networks that are updated during backward, as large ones are, and biases that are not."""
    monkeypatch.setattr(eager, "LARGE", 30)


@pytest.mark.usefixtures("some_are_large")
@pytest.mark.parametrize("bottleneck", ["soft_vq", "vq", "vae"])
def test_training_in_chunks_equals_a_plain_loop_bit_for_bit(monkeypatch, configure, build, digits, bottleneck):
    settings = (bottleneck, "trainer.max_steps=23", "trainer.log_every_n_steps=10", "data.batch_size=100", "seed=0")
    config, expected = configure(*settings), build(*settings)
    history = plain_loop(
        expected, config, digits, noisy=bottleneck != "vq"
    )  # 2,300 images of 1,438: into the second epoch
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e9)  # chunks grow to the limit however slow the machine
    for limit in (1, 3, 100):
        monkeypatch.setattr(chunks, "MAX_CHUNK_STEPS", limit)
        model = build(*settings)
        trainer, rows = fit(model, config)
        assert trainer.global_step == 23
        for name, value in expected.state_dict().items():
            assert torch.equal(model.state_dict()[name], value), (limit, name)
        assert list(rows) == [10, 20, 23]
        for row, steps in zip(rows.values(), (history[:10], history[10:20], history[20:]), strict=True):
            means = {f"train/{name}": np.mean([terms[name] for terms in steps]) for name in steps[0]}
            assert row == pytest.approx(means, rel=1e-9)


def test_chunks_do_grow(monkeypatch, configure, build):
    # Else the test above would compare steps with steps.
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e9)
    config = configure("identity", "trainer.max_steps=23", "trainer.log_every_n_steps=10")
    lengths = []

    class Lengths(L.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            lengths.append(len(batch.images))

    fit(build("identity"), config, [Lengths()])
    assert lengths == [1, 2, 4, 3, 10, 3]  # twice as long each time, cut where a row ends


@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_training_lowers_the_loss(configure, build, bottleneck):
    settings = (bottleneck, "trainer.max_steps=60", "trainer.log_every_n_steps=20", "optimizer.lr=0.01")
    _, rows = fit(build(*settings), configure(*settings))
    losses = [row["train/loss"] for row in rows.values()]
    assert losses[-1] < 0.9 * losses[0]


# --- a loss that is no number


class Poison(L.Callback):
    """Spoils a parameter once some steps are done."""

    def __init__(self, name, after):
        self.name, self.after = name, after

    def on_train_batch_end(self, trainer, pl_module, *arguments):
        if trainer.global_step == self.after:
            with torch.no_grad():
                dict(pl_module.named_parameters())[self.name].fill_(math.nan)


def spoiled(configure, build, monkeypatch, name):
    monkeypatch.setattr(chunks, "MAX_CHUNK_STEPS", 1)
    config = configure("soft_vq", "trainer.max_steps=9")
    with pytest.raises(NonFiniteLossError) as caught:
        fit(build("soft_vq"), config, [Poison(name, 4)])
    return caught.value


def test_a_loss_that_is_no_number_stops_training_at_its_step(monkeypatch, configure, build):
    error = spoiled(configure, build, monkeypatch, "decoder.output.0.bias")
    assert error.step == 5  # counted from 1
    assert error.term in ("loss", "reconstruction_loss")
    assert f"{error.term} is nan at step 5" in str(error)


def test_the_term_that_spoils_the_loss_is_named(monkeypatch, configure, build):
    error = spoiled(configure, build, monkeypatch, "decoder.output.0.bias")
    assert error.term == "reconstruction_loss"


def test_the_first_bad_step_inside_a_chunk_is_named_with_its_term(monkeypatch, configure, build):
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e9)
    model, calls = build("soft_vq"), itertools.count(1)
    loss = model.loss

    def overflowing(images, noise):
        terms = loss(images, noise)
        if next(calls) >= 13:  # the 6th of the chunk of 8 steps that begins after 7
            terms["codebook_loss"] = terms["codebook_loss"] * math.inf
        return terms

    monkeypatch.setattr(model, "loss", overflowing)
    with pytest.raises(NonFiniteLossError, match=r"^codebook_loss is inf at step 13;") as caught:
        fit(model, configure("soft_vq", "trainer.max_steps=30"))
    assert (caught.value.step, caught.value.term) == (13, "codebook_loss")
    assert next(calls) == 16  # the chunk ran to its end at 15


class SeenGradients(L.Callback):
    """Counts what Lightning calls around a step."""

    def __init__(self):
        self.backwards = self.updates = 0

    def on_after_backward(self, trainer, pl_module):
        assert all(p.grad is not None for p in pl_module.parameters())
        self.backwards += 1

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.updates += 1


@pytest.mark.usefixtures("some_are_large")
@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_a_callback_that_watches_gradients_sees_each_step_and_changes_no_bit(configure, build, bottleneck):
    config = configure(bottleneck, "trainer.max_steps=7")
    seen = SeenGradients()
    plain, watched = (build(bottleneck, "trainer.max_steps=7") for _ in range(2))
    fit(plain, config)
    fit(watched, config, [seen])
    assert (seen.backwards, seen.updates) == (7, 7)
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures("some_are_large")
def test_after_training_backward_leaves_gradients_again(configure, build, digits):
    config = configure("vae", "trainer.max_steps=7")
    model = build("vae", "trainer.max_steps=7")
    fit(model, config)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    model.loss(torch.from_numpy(digits.arrays.train_images[:4].copy()))["loss"].backward()
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter, old)
