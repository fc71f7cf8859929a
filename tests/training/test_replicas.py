"""Seeds that are trained at once give what each gives alone, and their folders are those of runs alone."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.loggers.logger import DummyLogger
from omegaconf import DictConfig, OmegaConf
from sweeps import cells, finished, kill_group, running, starts, sweep_here, wait_for
from test_cuda_graph import stand_in

from softvq.config.compose import CONF_DIR, options
from softvq.config.identity import config_hash, result_settings
from softvq.data.module import ReplicaData
from softvq.data.schedule import ReplicaSchedule, Schedule
from softvq.run.build import build_data, build_model
from softvq.run.cell import read_cell
from softvq.sweep.plan import PlannedCell, jobs_of
from softvq.training.autoencoder import Autoencoder
from softvq.training.cuda_graph import Capture
from softvq.training.module import ChunkTraining
from softvq.training.replicas import Replicas, checkpoint_of_member, checkpoint_of_replicas

SEEDS = (0, 1, 2)
STEPS = 200
TRAINED = [name for name in options("bottleneck") if name not in ("raw", "untrained")]
NETWORKS = {
    "mlp": ("network.encoder.hidden=[16,12]", "network.decoder.hidden=[12,16]"),
    "conv": ("network.encoder.channels=[3,4]", "network.decoder.channels=[4]"),
}
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*{message}.*")
    for message in ("You defined a `validation_step`", "GPU available but not used", "LeafSpec", "`srun` command")
]


class Rows(DummyLogger):
    """Keeps the rows of a training curve."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int | None, dict[str, float]] = {}

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        values = {name: float(value) for name, value in metrics.items() if name.startswith(("train/", "val/"))}
        self.rows.setdefault(step, {}).update(values)


@pytest.fixture
def configure(compose_train: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., DictConfig]:
    """A small configuration on digits."""

    def configured(bottleneck: str, network: str, *overrides: str) -> DictConfig:
        config = compose_train("data=digits", f"bottleneck={bottleneck}")
        config.network = compose_train("data=digits", f"network={network}").network
        K = ["bottleneck.K=8"] if "K" in config.bottleneck else []
        small = ["network.d=4", *NETWORKS[network], *K, f"data.root={tmp_path}", f"trainer.max_steps={STEPS}"]
        config.merge_with_dotlist([*small, "data.batch_size=16", *overrides])
        return config

    return configured


def of_seed(config: DictConfig, seed: int) -> DictConfig:
    copy = config.copy()
    copy.seed = seed
    return copy


def built(config: DictConfig) -> Autoencoder:
    data = build_data(config)
    data.setup()
    return build_model(config, data.arrays.info.image_shape, data.arrays.info.pixel_variance)


def fit(config: DictConfig, model: ChunkTraining, data: L.LightningDataModule, rows: list[Rows]) -> L.Trainer:
    trainer = L.Trainer(
        max_steps=config.trainer.max_steps,
        max_epochs=-1,
        accelerator="cpu",
        devices=1,
        logger=list(rows),
        limit_val_batches=None if config.data.val_fraction else 0,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=config.data.root,
    )
    trainer.fit(model, data)
    return trainer


def alone(config: DictConfig, seed: int) -> tuple[Autoencoder, Rows]:
    """The run of one seed by itself."""
    config, rows = of_seed(config, seed), Rows()
    model = built(config)
    fit(config, model, build_data(config), [rows])
    return model, rows


def together(config: DictConfig, capture: Capture | None = None) -> tuple[Replicas, list[Rows]]:
    """All seeds at once."""
    configs = [of_seed(config, seed) for seed in SEEDS]
    data = [build_data(own) for own in configs]
    for part in data:
        part.setup()
    rows = [Rows() for _ in SEEDS]
    replicas = Replicas([built(own) for own in configs], [[own] for own in rows])  # type: ignore[list-item]
    replicas.capture = capture
    fit(config, replicas, ReplicaData(data), rows)
    return replicas, rows


def check_member(replicas: Replicas, rows: list[Rows], s: int, model: Autoencoder, expected: Rows) -> None:
    assert list(rows[s].rows) == list(expected.rows)
    for step, row in expected.rows.items():
        assert rows[s].rows[step] == pytest.approx(row, rel=1e-4, abs=1e-4), step
    member = replicas.member(s)
    assert list(member.state_dict()) == list(model.state_dict())
    for name, weights in model.state_dict().items():
        torch.testing.assert_close(member.state_dict()[name], weights, **TOLERANCE, msg=name)
    images = some_images()
    z_e = [net(images)[1].taps["z_e"] for net in (member.eval(), model.eval())]
    torch.testing.assert_close(z_e[0], z_e[1], **TOLERANCE)


def some_images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (20, 8, 8, 1), dtype=torch.uint8, generator=generator)


@pytest.mark.slow
@pytest.mark.parametrize("network", list(NETWORKS))
@pytest.mark.parametrize("bottleneck", TRAINED)
def test_each_replica_is_the_run_of_its_seed_alone(
    configure: Callable[..., DictConfig], bottleneck: str, network: str
) -> None:
    config = configure(bottleneck, network)
    replicas, rows = together(config)
    for s, seed in enumerate(SEEDS):
        check_member(replicas, rows, s, *alone(config, seed))


def test_replicas_differ_and_each_begins_as_its_seed_does(configure: Callable[..., DictConfig]) -> None:
    config = configure("soft_vq", "mlp", "trainer.max_steps=20", "trainer.log_every_n_steps=10")
    replicas, rows = together(config)
    for s, seed in enumerate(SEEDS):
        check_member(replicas, rows, s, *alone(config, seed))
    losses = {own.rows[20]["train/loss"] for own in rows}
    assert len(losses) == len(SEEDS)


def test_validation_is_that_of_each_seeds_own_images(configure: Callable[..., DictConfig]) -> None:
    config = configure("vae", "mlp", "trainer.max_steps=20", "trainer.val_every_n_steps=10", "data.val_fraction=0.1")
    replicas, rows = together(config)
    assert "val/kl_loss" in rows[0].rows[10]
    for s, seed in enumerate(SEEDS):
        check_member(replicas, rows, s, *alone(config, seed))


@pytest.mark.parametrize("bottleneck", ["identity", "soft_vq"])
def test_replayed_steps_of_replicas_train_as_steps_from_python_do(
    configure: Callable[..., DictConfig], bottleneck: str
) -> None:
    config = configure(bottleneck, "mlp", "trainer.max_steps=12", "trainer.log_every_n_steps=3")
    plain, plain_rows = together(config)
    replayed, replayed_rows = together(config, stand_in)
    assert [own.rows for own in replayed_rows] == [own.rows for own in plain_rows]
    for name, weights in plain.state_dict().items():
        torch.testing.assert_close(replayed.state_dict()[name], weights, rtol=0, atol=1e-6)


def test_replica_schedule_is_the_schedules_side_by_side() -> None:
    members = [Schedule(10, 4, seed) for seed in SEEDS]
    indices = ReplicaSchedule(members).batch(7)
    assert indices.shape == (3, 4)
    for s, seed in enumerate(SEEDS):
        assert torch.equal(indices[s], Schedule(10, 4, seed).batch(7))


def test_members_checkpoints_put_together_are_the_replicas_checkpoint() -> None:
    weights = torch.arange(6.0).reshape(3, 2)
    checkpoint = {
        "state_dict": {"stacked.model.encoder.w": weights},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(5.0), "exp_avg": 10 * weights}}, "param_groups": [1]}],
        "curve": [({"loss": 1.0 * s}, 2) for s in SEEDS],
        "global_step": 5,
    }
    members = [checkpoint_of_member(checkpoint, s) for s in SEEDS]
    assert list(members[1]["state_dict"]) == ["encoder.w"]
    assert members[1]["state_dict"]["encoder.w"].tolist() == [2.0, 3.0]
    assert members[1]["state_dict"]["encoder.w"].untyped_storage().nbytes() == 8  # its own part alone is written
    assert members[1]["optimizer_states"][0]["state"][0]["exp_avg"].tolist() == [20.0, 30.0]
    assert members[1]["curve"] == ({"loss": 1.0}, 2)
    whole = checkpoint_of_replicas(members)
    assert torch.equal(whole["state_dict"]["stacked.model.encoder.w"], weights)
    state = whole["optimizer_states"][0]["state"][0]
    assert torch.equal(state["exp_avg"], 10 * weights)
    assert state["step"] == 5.0
    assert {key: whole[key] for key in ("curve", "global_step")} == {
        key: checkpoint[key] for key in ("curve", "global_step")
    }


# --- whole cells

THREE = ("bottleneck=soft_vq", "seed=0,1,2")
AT_ONCE = "trainer.seeds_per_process=3"


def metrics_of(folder: Path) -> dict[int, dict[str, Any]]:
    found = [json.loads(file.read_text()) for file in folder.rglob("metrics.json")]
    return {metrics["seed"]: metrics for metrics in found}


def check_same_results(ours: Path, theirs: Path, seeds: tuple[int, ...] = SEEDS) -> None:
    """Compares what two folders' runs found: fractions within a code or two, numbers within rounding."""
    first, second = metrics_of(ours), metrics_of(theirs)
    assert set(seeds) <= set(first)
    for seed in seeds:
        assert first[seed]["config_hash"] == second[seed]["config_hash"]
        assert first[seed]["reconstruction"] == pytest.approx(second[seed]["reconstruction"], rel=1e-4)
        assert first[seed]["probes"] == pytest.approx(second[seed]["probes"], abs=0.01)
        curves = [curve(next(folder.rglob(f"seed-{seed}*/metrics.csv"))) for folder in (ours, theirs)]
        assert len(curves[0]) > 1
        assert curves[0] == pytest.approx(curves[1], rel=1e-4, abs=1e-4)


def curve(file: Path) -> list[float]:
    return [float(value) for line in file.read_text().splitlines()[1:] for value in line.split(",")]


def test_two_seeds_at_once_leave_two_run_folders(tmp_path: Path) -> None:
    two = ("bottleneck=vq", "seed=0,1", "trainer.max_steps=5", "trainer.seeds_per_process=2")
    assert sweep_here(tmp_path, *two) == 0
    assert sorted(metrics_of(tmp_path)) == [0, 1]
    assert len(list(tmp_path.rglob("last.ckpt"))) == 2


@pytest.mark.slow
def test_cells_trained_at_once_are_those_of_a_plain_sweep_and_each_skips_the_others(tmp_path: Path) -> None:
    assert sweep_here(tmp_path / "once", *THREE, AT_ONCE) == 0
    assert sweep_here(tmp_path / "turns", *THREE) == 0
    check_same_results(tmp_path / "once", tmp_path / "turns")
    assert [metrics["provenance"]["seeds_at_once"] for metrics in metrics_of(tmp_path / "once").values()] == [3, 3, 3]
    names = [
        sorted(str(file.relative_to(tmp_path / way)) for file in (tmp_path / way).rglob("*"))
        for way in ("once", "turns")
    ]
    assert names[0] == names[1]
    for way, other in (("once", ()), ("turns", (AT_ONCE,))):
        kept = finished(tmp_path / way)
        assert sweep_here(tmp_path / way, *THREE, *other) == 0
        assert finished(tmp_path / way) == kept


@pytest.mark.slow
def test_killed_group_goes_on_and_so_does_a_member_of_it_alone(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    long = ("trainer.max_steps=400", "trainer.log_every_n_steps=20")
    often = ("trainer.checkpoint_after_s=0.1", "trainer.checkpoint_every_s=0.1")
    with running(folder, *THREE, *long, AT_ONCE, *often, "hydra/launcher=basic") as process:
        assert wait_for(lambda: len(list(folder.rglob("last.ckpt"))) == len(SEEDS), process), "it ended too soon"
        time.sleep(0.2)
        kill_group(process)
    assert not finished(folder)
    steps = [at_step(cell / "checkpoints" / "last.ckpt") for cell in cells(folder)]
    assert all(0 < step < 400 for step in steps)
    assert sweep_here(folder, "bottleneck=soft_vq", "seed=1", *long) == 0  # alone
    assert len(finished(folder)) == 1
    assert f"from step {steps[1]}" in (cells(folder)[1] / "run.log").read_text()
    assert sweep_here(folder, *THREE, *long, AT_ONCE) == 0
    assert [starts(cell) for cell in cells(folder)] == [2, 2, 2]
    assert "from step" in (cells(folder)[0] / "run.log").read_text()
    assert sweep_here(tmp_path / "unbroken", *THREE, *long) == 0
    check_same_results(folder, tmp_path / "unbroken")


def at_step(file: Path) -> int:
    return torch.load(file, weights_only=False)["global_step"]


@pytest.mark.slow
def test_members_at_different_steps_go_on_in_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep_here(tmp_path, *THREE, AT_ONCE) == 0
    for cell in cells(tmp_path):
        (cell / "metrics.json").unlink()  # as if each had been killed before its probes,
    (cells(tmp_path)[0] / "checkpoints" / "last.ckpt").unlink()  # and one had lost its checkpoint
    capsys.readouterr()
    assert sweep_here(tmp_path, *THREE, AT_ONCE) == 0
    told = capsys.readouterr().out
    assert "soft_vq on digits, seed 0: training 60 steps" in told
    assert "3 finished, 0 skipped, 0 failed" in told
    assert [metrics_of(tmp_path)[seed]["provenance"]["seeds_at_once"] for seed in SEEDS] == [1, 2, 2]


@pytest.mark.slow
def test_a_diverging_seed_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoiled(config: DictConfig, *arguments: Any) -> Autoencoder:
        model = build_model(config, *arguments)
        if config.seed == 1:
            with torch.no_grad():
                model.get_parameter("decoder.output.0.bias").fill_(torch.nan)
        return model

    monkeypatch.setattr("softvq.run.together.build_model", spoiled)
    assert sweep_here(tmp_path, *THREE, AT_ONCE) == 1
    assert "2 finished, 0 skipped, 1 failed" in capsys.readouterr().out
    failure = next(tmp_path.rglob("failure.json"))
    assert failure.parent.name.startswith("seed-1")
    told = json.loads(failure.read_text())
    assert (told["error"], told["step"]) == ("NonFiniteLossError", 1)
    assert not (failure.parent / "checkpoints" / "last.ckpt").exists()
    assert told["message"] in (failure.parent / "run.log").read_text()
    assert told["message"] not in (cells(tmp_path)[0] / "run.log").read_text()
    monkeypatch.undo()
    assert sweep_here(tmp_path, *THREE, AT_ONCE) == 0  # tried again, by itself
    assert sweep_here(tmp_path / "turns", *THREE) == 0
    check_same_results(tmp_path, tmp_path / "turns")


# --- settings


def test_how_many_are_trained_at_once_is_part_of_no_result(
    compose_train: Callable[..., DictConfig],
) -> None:
    hashes = set()
    for S in (1, 4):
        config = compose_train("data=digits", f"trainer.seeds_per_process={S}")
        config.data.pixel_offset, config.trainer.threads = 0.0, 1
        hashes.add(config_hash(result_settings(json_of(config), "content")))
    assert len(hashes) == 1


def json_of(config: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("overrides", "in_sweep", "message"),
    [
        (("trainer.seeds_per_process=4",), False, r"trainer\.seeds_per_process=4 is .*\n.*add -m and several seeds"),
        (("trainer.seeds_per_process=0",), True, r"trainer\.seeds_per_process must be at least 1, got 0"),
        (("trainer.seeds_per_process=2.5",), True, r"trainer\.seeds_per_process must be a whole number, got 2\.5"),
        (("trainer.seeds_per_process=4", "trainer.devices=2"), True, r"set trainer\.devices=1 in place of 2"),
        (
            ("trainer.seeds_per_process=4", "trainer.precision=16-mixed"),
            True,
            r"set trainer\.precision=bf16-mixed or 32-true: 16-mixed ",
        ),
        (
            ("trainer.seeds_per_process=4", "optimizer._target_=torch.optim.LBFGS"),
            True,
            r"set optimizer\._target_ to one of .*torch\.optim\.Adam,.*: torch\.optim\.LBFGS may look across seeds",
        ),
        (
            ("trainer.seeds_per_process=4", "+trainer.callbacks.odd._target_=sweeps.Harmless"),
            True,
            r"drop trainer\.callbacks=\['odd'\], which expect a single model",
        ),
    ],
)
def test_what_cannot_be_trained_at_once_is_refused_with_the_way_out(
    compose_train: Callable[..., DictConfig], overrides: tuple[str, ...], in_sweep: bool, message: str, tmp_path: Path
) -> None:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        composed = compose("train", ["data=digits", *overrides], return_hydra_config=True)
    config = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    launcher = composed.hydra.launcher if in_sweep else None
    with pytest.raises(ValueError, match=message):
        read_cell(config, composed.hydra, tmp_path, launcher)


def test_a_sweeps_jobs_hold_seeds_of_one_model(compose_train: Callable[..., DictConfig]) -> None:
    def planned(bottleneck: str, seed: int, *overrides: str) -> PlannedCell:
        config = compose_train("data=digits", f"bottleneck={bottleneck}", "trainer.seeds_per_process=3", *overrides)
        config.seed = seed
        return PlannedCell([f"{bottleneck}-{seed}"], SimpleNamespace(config=config, choices={}))  # type: ignore[arg-type]

    grid = [planned(bottleneck, seed) for seed in range(5) for bottleneck in ("vae", "vq")]
    others = [planned("vq", 5, "optimizer.lr=1e-3"), planned("raw", 0, "trainer.max_steps=0")]
    build_data(grid[0].cell.config)  # type: ignore[union-attr]  # resolves some of it in place, as planning does
    names = [
        " ".join(cell.name for cell in job)
        for job in jobs_of([*grid, *others, planned("raw", 1, "trainer.max_steps=0")])
    ]
    assert names == [
        "vae-0 vae-1 vae-2",
        "vq-0 vq-1 vq-2",
        "vae-3 vae-4",
        "vq-3 vq-4",
        "vq-5",
        "raw-0",  # nothing to train
        "raw-1",
    ]
