"""Seeds that are trained at once give what each gives alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from trainings import BOTTLENECKS, KINDS, QUIET, Rows, of_seed, small_config, trained

from softvq.data.schedule import ReplicaSchedule, Schedule
from softvq.training.checkpoint import checkpoint_of_member, checkpoint_of_module
from softvq.training.module import TrainingModule

SEEDS = (0, 1, 2)
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}

pytestmark = [pytest.mark.filterwarnings(message) for message in QUIET]


@pytest.fixture
def configure(compose_train: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., DictConfig]:
    def configured(bottleneck: str, *overrides: str, network: str = "mlp") -> DictConfig:
        return small_config(compose_train, tmp_path, bottleneck, "data.batch_size=16", *overrides, network=network)

    return configured


def check_members(config: DictConfig, module: TrainingModule, curves: list[Rows]) -> None:
    """Compares each seed of a module with its run alone."""
    images = torch.randint(256, (20, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for s, seed in enumerate(SEEDS):
        alone, (curve,) = trained(of_seed(config, seed))
        assert list(curves[s].rows) == list(curve.rows)
        for step, row in curve.rows.items():
            assert curves[s].rows[step] == pytest.approx(row, rel=1e-4, abs=1e-4), step
        member, model = module.model_of(s), alone.model_of(0)
        assert list(member.state_dict()) == list(model.state_dict())
        for name, weights in model.state_dict().items():
            torch.testing.assert_close(member.state_dict()[name], weights, **TOLERANCE, msg=name)
        torch.testing.assert_close(member.eval().encode(images), model.eval().encode(images), **TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bottleneck", "network"),
    [
        # The signs of lfq turn with the last bit of a product, sooner or later; its first steps are compared elsewhere.
        *((name, "mlp") for name in BOTTLENECKS if name != "lfq"),
        *((name, "conv") for name in KINDS),
    ],
)
def test_each_of_many_steps_is_that_of_the_seed_alone(
    configure: Callable[..., DictConfig], bottleneck: str, network: str
) -> None:
    config = configure(bottleneck, "trainer.max_steps=200", network=network)
    check_members(config, *trained(config, seeds=SEEDS))


@pytest.mark.slow
@pytest.mark.parametrize("bottleneck", KINDS)
def test_each_member_begins_and_goes_on_as_its_seed_alone_does(
    configure: Callable[..., DictConfig], bottleneck: str
) -> None:
    config = configure(bottleneck, "trainer.max_steps=8", "trainer.log_every_n_steps=4")
    module, curves = trained(config, seeds=SEEDS)
    check_members(config, module, curves)
    losses = {curve.rows[8]["train/loss"] for curve in curves}
    assert len(losses) == len(SEEDS)


def test_validation_is_that_of_each_seeds_own_images(configure: Callable[..., DictConfig]) -> None:
    config = configure("vae", "trainer.max_steps=20", "trainer.val_every_n_steps=10", "data.val_fraction=0.1")
    module, curves = trained(config, seeds=SEEDS)
    assert "val/kl_loss" in curves[0].rows[10]
    check_members(config, module, curves)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_a_member_is_in_the_precision_that_it_was_trained_in(
    configure: Callable[..., DictConfig], precision: str
) -> None:
    config = configure("soft_vq", "trainer.max_steps=3", f"trainer.precision={precision}")
    dtypes = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "bf16-mixed": torch.float32}
    module, _ = trained(config, seeds=(0, 1))
    alone, _ = trained(of_seed(config, 1))
    for name, weights in alone.model_of(0).state_dict().items():
        assert module.model_of(1).state_dict()[name].dtype == weights.dtype == dtypes[precision]
        torch.testing.assert_close(module.model_of(1).state_dict()[name], weights, rtol=0.02, atol=2e-3)


def test_replica_schedule_is_the_schedules_side_by_side() -> None:
    members = [Schedule(10, 4, seed) for seed in SEEDS]
    indices = ReplicaSchedule(members).batch(7)
    assert indices.shape == (3, 4)
    for s, seed in enumerate(SEEDS):
        assert torch.equal(indices[s], Schedule(10, 4, seed).batch(7))


def test_members_checkpoints_put_together_are_the_modules_checkpoint() -> None:
    weights = torch.arange(6.0).reshape(3, 2)
    checkpoint = {
        "state_dict": {"net.stacked.model.encoder.w": weights},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(5.0), "exp_avg": 10 * weights}}, "param_groups": [1]}],
        "curves": [{"sums": {"loss": 1.0 * s}, "steps": 2, "statistics": {}} for s in SEEDS],
        "global_step": 5,
    }
    members = [checkpoint_of_member(checkpoint, s) for s in SEEDS]
    assert list(members[1]["state_dict"]) == ["encoder.w"]
    assert members[1]["state_dict"]["encoder.w"].tolist() == [2.0, 3.0]
    assert members[1]["state_dict"]["encoder.w"].untyped_storage().nbytes() == 8  # its own part alone is written
    assert members[1]["optimizer_states"][0]["state"][0]["exp_avg"].tolist() == [20.0, 30.0]
    assert members[1]["curve"] == {"sums": {"loss": 1.0}, "steps": 2, "statistics": {}}
    whole = checkpoint_of_module(members)
    assert torch.equal(whole["state_dict"]["net.stacked.model.encoder.w"], weights)
    state = whole["optimizer_states"][0]["state"][0]
    assert torch.equal(state["exp_avg"], 10 * weights)
    assert state["step"] == 5.0
    assert {key: whole[key] for key in ("curves", "global_step")} == {
        key: checkpoint[key] for key in ("curves", "global_step")
    }


def test_a_members_checkpoint_is_that_of_a_run_alone() -> None:
    weights = torch.arange(2.0)
    alone = {
        "state_dict": {"net.encoder.w": weights},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(5.0), "exp_avg": weights}}, "param_groups": [1]}],
        "curves": [{"sums": {"loss": 1.0}, "steps": 2, "statistics": {}}],
        "global_step": 5,
    }
    stacked = {
        **alone,
        "state_dict": {"net.stacked.model.encoder.w": weights[None]},
        "optimizer_states": [
            {"state": {0: {"step": torch.tensor(5.0), "exp_avg": weights[None]}}, "param_groups": [1]}
        ],
    }
    one, other = checkpoint_of_member(alone, 0), checkpoint_of_member(stacked, 0)
    assert one.keys() == other.keys()
    assert torch.equal(one["state_dict"]["encoder.w"], other["state_dict"]["encoder.w"])
    moments = [own["optimizer_states"][0]["state"][0]["exp_avg"] for own in (one, other)]
    assert torch.equal(*moments)
    assert checkpoint_of_module([other])["state_dict"].keys() == alone["state_dict"].keys()
