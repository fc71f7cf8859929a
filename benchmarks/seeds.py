"""Runs per hour of many seeds trained at once beside one after the other, on the CPU or on a GPU.

Each repeat times every way once, in turn, so that a machine that slows down slows all of them; the ratio is taken
within a repeat. The model is the multilayer perceptron for MNIST, the images are random, and only training counts.
On a GPU each way replays captured steps. `python benchmarks/seeds.py --help` has the sizes.
"""

import argparse
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from contenders import IMAGE_SHAPES, write_images
from omegaconf import DictConfig
from turns import HERE, machine, ratios, spread, write_results

from softvq.config.compose import compose
from softvq.data.module import ImageData, ReplicaData
from softvq.machine import cores
from softvq.run.build import build_data, build_model, build_optimizer
from softvq.training.cuda_graph import capture_cuda_graph
from softvq.training.malloc import keep_freed_memory
from softvq.training.member import Member
from softvq.training.module import TrainingModule

IMAGES = 10_000


class Clock(L.Callback):
    """Seconds of training from a step on, by when chunks take their full size.

    Args:
        warm: steps that do not count.
    """

    def __init__(self, warm: int) -> None:
        self.warm = warm
        self.started: tuple[float, int] | None = None

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        now = time.perf_counter()  # a chunk's losses were waited for: the device has nothing left to do
        if self.started is None and trainer.global_step >= self.warm:
            self.started = (now, trainer.global_step)
        self.ended = (now, trainer.global_step)

    @property
    def seconds_per_step(self) -> float:
        assert self.started is not None
        return (self.ended[0] - self.started[0]) / (self.ended[1] - self.started[1])


def measure(
    device: str,
    seeds: Sequence[int] = (4, 16),
    bottleneck: str = "soft_vq",
    steps: int = 300,
    warm: int = 100,
    repeats: int = 5,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Milliseconds a step of S seeds, and runs per hour as a multiple of one run after the other.

    Args:
        device: `cpu` or `gpu`.
        seeds: the numbers S of seeds that are trained at once.
        bottleneck: of the model.
        steps: of each training, the first ones included.
        warm: of them do not count.
        repeats: of every way.
        overrides: further settings.
    """
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        config = on_random_images(Path(folder), "mlp", [f"bottleneck={bottleneck}", *overrides])
        config.trainer.max_steps = steps
        times: dict[str, list[float]] = {"alone": [], **{str(S): [] for S in seeds}}
        for _ in range(repeats):
            times["alone"].append(seconds_per_step(config, 1, device, warm))
            for S in seeds:
                times[str(S)].append(seconds_per_step(config, S, device, warm))
    return {
        "device": torch.cuda.get_device_name() if device == "gpu" else device,
        "threads": torch.get_num_threads(),
        "bottleneck": bottleneck,
        "steps": steps,
        "ms_per_step": {name: spread([1000 * s for s in values]) for name, values in times.items()},
        "runs_per_hour_over_one_after_the_other": {
            str(S): spread([S * ratio for ratio in ratios(times["alone"], times[str(S)])]) for S in seeds
        },
    }


def on_random_images(folder: Path, network: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a cell on random images, which are written below `folder`."""
    write_images(folder, network, IMAGES)
    own = ["data=arrays", f"data.dir={folder}", "data.name=random", f"data.root={folder}", f"network={network}"]
    config = compose("train", [*own, *overrides])
    config.data.image_shape = list(IMAGE_SHAPES[network])
    config.data.pixel_offset, config.data.output_activation = 0.0, "sigmoid"
    return config


def seconds_per_step(config: DictConfig, S: int, device: str, warm: int, captured: bool = True) -> float:
    """Seconds a step of S seeds at once.

    Args:
        config: of each of them, but for the seed.
        S: how many.
        device: `cpu` or `gpu`.
        warm: steps that do not count.
        captured: on a GPU, replay a captured step.
    """
    members, data = zip(*[_member(config, seed) for seed in range(S)], strict=True)
    module = TrainingModule(members, build_optimizer(config), config.trainer.log_every_n_steps)
    if device == "gpu" and captured:
        module.capture, module.must_replay = capture_cuda_graph, True
    clock = Clock(warm)
    trainer = L.Trainer(
        max_steps=config.trainer.max_steps,
        max_epochs=-1,
        accelerator=device,
        devices=1,
        precision=config.trainer.precision,
        callbacks=[clock],
        logger=False,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data[0] if S == 1 else ReplicaData(data))
    return clock.seconds_per_step


def _member(config: DictConfig, seed: int) -> tuple[Member, ImageData]:
    own = config.copy()
    own.seed = seed
    data = build_data(own)
    data.setup()
    info = data.arrays.info
    return Member(build_model(own, info.image_shape, info.pixel_variance, info.classes), seed, ()), data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="gpu" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=[4, 16], help="trained at once")
    parser.add_argument("--bottleneck", default="soft_vq")
    parser.add_argument("--steps", type=int, default=300, help="of each training")
    parser.add_argument("--warm", type=int, default=100, help="steps at the start that do not count")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=cores(), help="of torch")
    parser.add_argument("--quick", action="store_true", help="few and short trainings, into a folder of their own")
    parser.add_argument("--out", type=Path, help="folder of the JSON file; default: benchmarks/results")
    parser.add_argument("overrides", nargs="*", help="further settings, as train.py takes them")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    if args.quick:
        args.seeds, args.steps, args.warm, args.repeats = [2], 12, 4, 2
    sizes = (args.seeds, args.bottleneck, args.steps, args.warm, args.repeats, args.overrides)
    results = {"machine": machine(), **measure(args.device, *sizes)}
    write_results(f"seeds-{args.device}", results, args.out or HERE / ("results-quick" if args.quick else "results"))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
