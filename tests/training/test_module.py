"""Training a chunk of steps at a time: beside a plain loop, with callbacks that watch, and what it leaves behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from omegaconf import DictConfig
from trainings import BOTTLENECKS, KINDS, QUIET, data_of, fit, model_of, module_of, small_config, trained

from softvq.bottlenecks.identity import Identity
from softvq.bottlenecks.vq import VectorQuantizer
from softvq.data import chunks
from softvq.data.schedule import Schedule
from softvq.health import panel
from softvq.randomness import Stream, generator
from softvq.training import update_in_backward
from softvq.training.autoencoder import Autoencoder

pytestmark = [pytest.mark.filterwarnings(message) for message in QUIET]


@pytest.fixture
def configure(compose_train: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., DictConfig]:
    return lambda bottleneck, *overrides: small_config(compose_train, tmp_path, bottleneck, *overrides)


@pytest.fixture
def some_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of small networks that are updated during backward, as large ones are, and biases that are not."""
    monkeypatch.setattr(update_in_backward, "LARGE", 30)


def images_of(config: DictConfig, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The images and the labels that a step sees."""
    arrays = data_of(config).arrays
    batch = Schedule(len(arrays.train_images), config.data.batch_size, config.seed).batch(step).numpy()
    return torch.from_numpy(arrays.train_images[batch]), torch.from_numpy(arrays.train_labels[batch])


def plain_loop(model: Autoencoder, config: DictConfig) -> list[tuple[dict[str, float], dict[str, torch.Tensor]]]:
    """Step by step, without Lightning: the terms and the sums of each step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, fused=True)
    history = []
    for step in range(config.trainer.max_steps):
        images, labels = images_of(config, step)
        noise = model.bottleneck.draw_noise(len(images), 1, generator(config.seed, Stream.NOISE, step))
        terms, sums = model.loss(images, noise, labels if model.bottleneck.learns_from_labels else None)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        history.append(({name: term.item() for name, term in terms.items()}, sums))
    return history


@pytest.mark.usefixtures("some_are_large")
@pytest.mark.parametrize(
    "bottleneck",
    [
        pytest.param(name, marks=() if name in KINDS else pytest.mark.slow)
        for name in BOTTLENECKS
        if name != "acai"  # whose critic has a learning rate of its own, and the plain loop has one
    ],
)
def test_training_in_chunks_equals_a_plain_loop_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, configure: Callable[..., DictConfig], bottleneck: str
) -> None:
    config = configure(bottleneck, "trainer.max_steps=23", "trainer.log_every_n_steps=10", "data.batch_size=100")
    expected = model_of(config)
    history = plain_loop(expected, config)  # 2,300 images of 1,438: into the second epoch
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e9)  # chunks grow to the limit however slow the machine
    for limit in (1, 100):
        monkeypatch.setattr(chunks, "MAX_CHUNK_STEPS", limit)
        module, (curve,) = trained(config)
        assert module.trainer.global_step == 23
        for name, value in expected.state_dict().items():
            assert torch.equal(module.net.state_dict()[name], value), (limit, name)
        assert list(curve.rows) == [10, 20, 23]
        for row, steps in zip(curve.rows.values(), (history[:10], history[10:20], history[20:]), strict=True):
            means = {f"train/{name}": np.mean([terms[name] for terms, _ in steps]) for name in steps[0][0]}
            total = {name: sum(sums[name] for _, sums in steps) for name in steps[0][1]}
            health = {f"train/{name}": value for name, value in panel(total).items()}
            assert row == pytest.approx({**means, **health}, rel=1e-9)


def test_chunks_do_grow(monkeypatch: pytest.MonkeyPatch, configure: Callable[..., DictConfig]) -> None:
    # Else the test above would compare steps with steps.
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e9)
    config = configure("identity", "trainer.max_steps=23", "trainer.log_every_n_steps=10")
    lengths = []

    class Lengths(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int) -> None:
            lengths.append(len(batch.images))

    trained(config, [Lengths()])
    assert lengths == [1, 2, 4, 3, 10, 3]  # twice as long each time, cut where a row ends


@pytest.mark.parametrize("bottleneck", KINDS)
def test_training_lowers_the_loss(configure: Callable[..., DictConfig], bottleneck: str) -> None:
    settings = ("trainer.max_steps=60", "trainer.log_every_n_steps=20", "optimizer.lr=0.01")
    _, (curve,) = trained(configure(bottleneck, *settings))
    losses = [row["train/loss"] for row in curve.rows.values()]
    assert losses[-1] < 0.9 * losses[0]


class SeenGradients(L.Callback):
    """Counts what Lightning calls around a step."""

    def __init__(self) -> None:
        self.backwards = self.updates = 0

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert all(p.grad is not None for p in pl_module.parameters())
        self.backwards += 1

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.updates += 1


@pytest.mark.usefixtures("some_are_large")
def test_a_callback_that_watches_gradients_sees_each_step_and_changes_no_bit(
    configure: Callable[..., DictConfig],
) -> None:
    config = configure("soft_vq", "trainer.max_steps=7")
    seen = SeenGradients()
    (plain, _), (watched, _) = trained(config), trained(config, [seen])
    assert (seen.backwards, seen.updates) == (7, 7)
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures("some_are_large")
def test_a_learning_rate_that_a_callback_changes_counts_for_large_and_small_parameters(
    configure: Callable[..., DictConfig],
) -> None:
    class Stop(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
            if trainer.global_step >= 3:
                trainer.optimizers[0].param_groups[0]["lr"] = 0.0

    config = configure("vae", "trainer.max_steps=3", "trainer.log_every_n_steps=3")  # a row, and so a chunk, ends at 3
    three, _ = trained(config)
    config.trainer.max_steps = 9
    nine, _ = trained(config, [Stop()])
    for a, b in zip(three.parameters(), nine.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures("some_are_large")
def test_a_bottleneck_may_read_its_parameters_in_backward_in_any_way(
    monkeypatch: pytest.MonkeyPatch, configure: Callable[..., DictConfig]
) -> None:
    forward = VectorQuantizer.forward

    def reading(self: VectorQuantizer, heads: dict[str, torch.Tensor], noise: Any) -> Any:
        return forward(self, {"z_e": heads["z_e"] @ self.codebook.detach().T @ self.codebook.detach()}, noise)

    monkeypatch.setattr(VectorQuantizer, "forward", reading)
    config = configure("vq", "trainer.max_steps=4")
    expected = model_of(config)
    plain_loop(expected, config)
    module, _ = trained(config)
    for name, value in expected.state_dict().items():
        assert torch.equal(module.net.state_dict()[name], value), name


@pytest.mark.usefixtures("some_are_large")
def test_after_training_backward_leaves_gradients_again(configure: Callable[..., DictConfig]) -> None:
    config = configure("vae", "trainer.max_steps=3")
    module, _ = trained(config)
    model = module.model_of(0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    model.loss(images_of(config, 0)[0])[0]["loss"].backward()
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter, old)


@pytest.mark.usefixtures("some_are_large")
def test_an_error_that_ends_a_training_leaves_the_module_fit_for_another(configure: Callable[..., DictConfig]) -> None:
    class Fails(L.Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            raise ValueError("enough")

    config = configure("vae", "trainer.max_steps=3")
    broken, _ = module_of(config)
    with pytest.raises(ValueError, match="enough"):
        fit(broken, config, [Fails()])
    fit(broken, config)
    hooks = [parameter._post_accumulate_grad_hooks for parameter in broken.parameters()]
    assert not any(hooks)


def test_mixed_precision_keeps_no_weights_cast_beyond_a_step(
    monkeypatch: pytest.MonkeyPatch, configure: Callable[..., DictConfig]
) -> None:
    # Where autocast keeps what it cast, as with the oldest Lightning that will do, it goes on with the weights of a
    # chunk's first step.
    def autocast(self: MixedPrecision) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, cache_enabled=True)

    monkeypatch.setattr(MixedPrecision, "autocast_context_manager", autocast)
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e9)
    config = configure("vae", "trainer.max_steps=12", "trainer.precision=bf16-mixed", "optimizer.lr=0.01")
    weights = []
    for limit in (1, 100):
        monkeypatch.setattr(chunks, "MAX_CHUNK_STEPS", limit)
        weights.append(trained(config)[0].state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_bottleneck_that_learns_from_labels_gets_those_of_its_images_and_no_other_gets_any(
    monkeypatch: pytest.MonkeyPatch, configure: Callable[..., DictConfig]
) -> None:
    config = configure("identity", "trainer.max_steps=5", "data.batch_size=32")
    seen: list[torch.Tensor | None] = []
    objective = Identity.objective

    def noted(self: Identity, coder: Any, x: Any, noise: Any, labels: Any) -> Any:
        seen.append(labels)
        return objective(self, coder, x, noise, labels)

    monkeypatch.setattr(Identity, "objective", noted)
    trained(config)
    assert seen == [None] * 5
    seen.clear()
    monkeypatch.setattr(Identity, "learns_from_labels", True)
    trained(config)
    assert len(seen) == 5
    for step, labels in enumerate(seen):
        assert torch.equal(labels, images_of(config, step)[1])  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.usefixtures("some_are_large")
@pytest.mark.parametrize(("precision", "steps"), [("bf16-true", 258), ("64-true", 3)])
def test_steps_are_counted_beyond_what_the_models_precision_can(
    configure: Callable[..., DictConfig], precision: str, steps: int
) -> None:
    # bfloat16 does not know 257.
    config = configure("vae", f"trainer.max_steps={steps}", "data.batch_size=2", f"trainer.precision={precision}")
    module, _ = trained(config)
    counts = [state["step"] for state in module.trainer.optimizers[0].state.values()]
    assert {(count.item(), count.dtype) for count in counts} == {(steps, torch.float32)}


def test_a_code_that_stays_collapsed_is_named_once_while_it_trains(
    configure: Callable[..., DictConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure("vae", "trainer.max_steps=14", "trainer.log_every_n_steps=1", "optimizer.lr=1e-9")
    module, _ = module_of(config)
    for name, weights in module.named_parameters():
        if "heads" in name:
            torch.nn.init.zeros_(weights)  # the prior for every image
    fit(module, config)
    said = capsys.readouterr().err
    assert said.count("collapsing") == 1
    assert "collapsing at step 10 (seed 0), active units: 0 of 4 units vary with the image; the posterior" in said
    trained(configure("identity", "trainer.max_steps=14", "trainer.log_every_n_steps=1"))
    assert "collapsing" not in capsys.readouterr().err


def test_a_codebook_that_all_codes_leave_is_named_with_what_helps_and_a_live_one_is_not(
    configure: Callable[..., DictConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure("vq", "trainer.max_steps=14", "trainer.log_every_n_steps=1", "optimizer.lr=1e-9")
    for far in (True, False):
        module, _ = module_of(config)
        codebook = module.get_parameter(next(name for name, _ in module.named_parameters() if "codebook" in name))
        with torch.no_grad():
            codebook.normal_(std=0.01)
            if far:
                codebook[1:] += 1000  # the first is the nearest to every code
        fit(module, config)
        said = capsys.readouterr().err
        assert ("collapsing at step 10 (seed 0), perplexity: 1.0 of 8 codewords are in use" in said) == far
        assert ("bottleneck=vq_ema_revival" in said) == far
