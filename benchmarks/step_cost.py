"""What a training step of each bottleneck costs beside the plain autoencoder's: `python benchmarks/step_cost.py`.

Both train in turns, in one process and on one thread, so that a machine that slows down slows both; what counts is the
processor's time. The network is the MLP, the images have MNIST's shape.
"""

import argparse
import time
from typing import Any

import torch
from turns import HERE, machine, ratios, spread, write_results

from softvq.config.compose import compose, options
from softvq.randomness import Stream, generator
from softvq.run.build import build_model, build_optimizer

SHAPE, BATCH, CLASSES, VARIANCE = (28, 28, 1), 32, 10, 0.095
PLAIN = "identity"


class Steps:
    """A model that trains on images drawn at random."""

    def __init__(self, bottleneck: str) -> None:
        config = compose("train", ["data=mnist", f"bottleneck={bottleneck}"])
        self.model = build_model(config, SHAPE, VARIANCE, CLASSES)
        self.optimizer = build_optimizer(config)(self.model.parameters())
        self.images = torch.randint(256, (BATCH, *SHAPE), dtype=torch.uint8)
        self.labels = torch.randint(CLASSES, (BATCH,)) if self.model.bottleneck.learns_from_labels else None
        self.step = 0

    def take(self, steps: int) -> float:
        """Trains; returns the processor's seconds a step."""
        started = time.process_time()
        for _ in range(steps):
            positions = self.model.encoder.positions
            noise = self.model.bottleneck.draw_noise(BATCH, positions, generator(0, Stream.NOISE, self.step))
            terms, _ = self.model.loss(self.images, noise, self.labels)
            self.optimizer.zero_grad(set_to_none=True)
            terms["loss"].backward()
            self.optimizer.step()
            self.step += 1
        return (time.process_time() - started) / steps


def measured(bottleneck: str, plain: Steps, repeats: int, steps: int) -> dict[str, Any]:
    """A bottleneck's milliseconds a step, and their ratio to the plain autoencoder's."""
    own = Steps(bottleneck)
    own.take(3)
    pairs = []
    for repeat in range(repeats):
        turns = (own, plain) if repeat % 2 == 0 else (plain, own)
        taken = {id(turn): turn.take(steps) for turn in turns}
        pairs.append((taken[id(own)], taken[id(plain)]))
    ours, theirs = zip(*pairs, strict=True)
    return {"cpu_ms": spread([1000 * s for s in ours]), "ratio": spread(ratios(ours, theirs))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    trained = [name for name in options("bottleneck") if compose("train", [f"bottleneck={name}"]).trained]
    described, plain, found = machine(), Steps(PLAIN), {}
    plain.take(3)
    for name in trained:
        found[name] = measured(name, plain, args.repeats, args.steps)
        print(f"{name}: {found[name]['ratio']['median']:.2f} of the plain autoencoder's step")
    content = {"machine": described, "batch": BATCH, "image_shape": SHAPE, "bottlenecks": found}
    write_results("step_cost", content, HERE / "results")


if __name__ == "__main__":
    main()
