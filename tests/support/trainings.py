"""Small trainings on digits without a run folder, and what they leave: models, training curves, noise."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import lightning as L
from lightning.pytorch.loggers.logger import DummyLogger
from omegaconf import DictConfig

from softvq.config.compose import options
from softvq.data.module import ImageData, ReplicaData
from softvq.run.build import build_data, build_model, build_optimizer
from softvq.training.autoencoder import Autoencoder
from softvq.training.member import Member
from softvq.training.module import TrainingModule

SMALL = {
    "mlp": ("network.encoder.hidden=[16,12]", "network.decoder.hidden=[12,16]"),
    "conv": ("network.encoder.channels=[3,4]", "network.decoder.channels=[4]"),
}
BOTTLENECKS = [name for name in options("bottleneck") if name not in ("raw", "untrained")]
# What a training has to do with a bottleneck: noise, state outside gradients, labels, an objective of its own.
KINDS = ("soft_vq", "vq_ema", "dvib", "acai")

# Remarks of Lightning's, which a run switches off.
QUIET = [
    f"ignore:.*{message}.*"
    for message in ("You defined a `validation_step`", "GPU available but not used", "LeafSpec", "`srun` command")
]


class Rows(DummyLogger):
    """Keeps the rows of a training curve."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int | None, dict[str, float]] = {}

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.setdefault(step, {}).update(metrics)


def small_config(
    compose_train: Callable[..., DictConfig], root: Any, bottleneck: str, *overrides: str, network: str = "mlp"
) -> DictConfig:
    """A small network on digits: d = 4, K = 8, k = 2."""
    config = compose_train("data=digits", f"bottleneck={bottleneck}")
    config.network = compose_train("data=digits", f"network={network}").network
    K = ["bottleneck.K=8"] if "K" in config.bottleneck else []
    k = ["bottleneck.k=2", "bottleneck.revived=1"] if "k" in config.bottleneck else []
    config.merge_with_dotlist(["network.d=4", *SMALL[network], *K, *k, f"data.root={root}", *overrides])
    return config


def of_seed(config: DictConfig, seed: int) -> DictConfig:
    copy = config.copy()
    copy.seed = seed
    return copy


def data_of(config: DictConfig) -> ImageData:
    data = build_data(config)
    data.setup()
    return data


def model_of(config: DictConfig) -> Autoencoder:
    info = data_of(config).arrays.info
    return build_model(config, info.image_shape, info.pixel_variance, info.classes)


def module_of(config: DictConfig, seeds: Sequence[int] | None = None) -> tuple[TrainingModule, list[Rows]]:
    """What trains these seeds at once (None: the configuration's own), and their training curves."""
    configs = [of_seed(config, seed) for seed in seeds or [config.seed]]
    rows = [Rows() for _ in configs]
    members = [Member(model_of(own), own.seed, [kept]) for own, kept in zip(configs, rows, strict=True)]
    return TrainingModule(members, build_optimizer(config), config.trainer.log_every_n_steps), rows


def fit(
    module: TrainingModule,
    config: DictConfig,
    callbacks: Iterable[L.Callback] = (),
    seeds: Sequence[int] | None = None,
    **settings: Any,
) -> L.Trainer:
    """Trains to `trainer.max_steps` on the CPU; `settings` are of Lightning's trainer."""
    parts = [data_of(of_seed(config, seed)) for seed in seeds or [config.seed]]
    trainer = L.Trainer(
        max_steps=config.trainer.max_steps,
        max_epochs=-1,
        accelerator="cpu",
        devices=1,
        precision=config.trainer.precision,
        logger=False,
        callbacks=list(callbacks),
        limit_val_batches=None if config.data.val_fraction else 0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=config.data.root,
        **settings,
    )
    trainer.fit(module, parts[0] if len(parts) == 1 else ReplicaData(parts))
    return trainer


def trained(
    config: DictConfig,
    callbacks: Iterable[L.Callback] = (),
    seeds: Sequence[int] | None = None,
) -> tuple[TrainingModule, list[Rows]]:
    """A module after its training, and its training curves."""
    module, rows = module_of(config, seeds)
    fit(module, config, callbacks, seeds)
    return module, rows
