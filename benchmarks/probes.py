"""Speed of the probes beside scikit-learn's own `n_init` and a loop with autograd, in one process.

Each repeat times every contender once, so that a machine that slows down slows all of them; the ratio is taken within
a repeat. `python benchmarks/probes.py --help` has the sizes.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import nn
from turns import ratios, spread

from softvq.machine import cores
from softvq.probes.classification import LinearClassifier, SoftmaxClassifier
from softvq.probes.clustering import KMeansProbe

CLASSES = 10
CORES = cores()
BATCH_SIZE = 128
LR, BETAS, EPS = 0.01, (0.9, 0.999), 1e-8
MAX_ITER, TOL = 300, 1e-4


def measure(
    repeats: int = 5,
    starts: int = 20,
    steps: int = 300,
    clustering_sizes: tuple[tuple[int, int], ...] = ((10_000, 64),),
    classifier_sizes: tuple[tuple[int, int], ...] = ((60_000, 64), (50_000, 784)),
) -> dict[str, Any]:
    """Seconds and speed-ups of K-means and of the softmax classifier: medians over the repeats, with their range."""
    return {
        "cores": CORES,
        "kmeans": [clustering(n, d, repeats, starts) for n, d in clustering_sizes],
        "classifier": [classifier(n, d, repeats, steps) for n, d in classifier_sizes],
    }


def clustering(n: int, d: int, repeats: int, starts: int) -> dict[str, Any]:
    """`starts` starts of K-means on n codes of width d, by the probe and by scikit-learn's own `n_init`."""
    codes, _ = latent_codes(n, d)

    def ours() -> float:
        return KMeansProbe(starts, MAX_ITER, TOL, seed=0).fit(codes, CLASSES, CORES).inertia_

    def all_threads() -> float:
        return KMeans(CLASSES, n_init=starts, max_iter=MAX_ITER, tol=TOL, random_state=0).fit(codes).inertia_

    def one_thread() -> float:
        with threadpool_limits(1):
            return all_threads()

    contenders = {"ours": ours, "n_init, all threads": all_threads, "n_init, one thread": one_thread}
    seconds, cpu_seconds, inertia = race(contenders, repeats)
    best = min(list(contenders)[1:], key=lambda name: statistics.median(seconds[name]))
    return {
        "codes": n,
        "d": d,
        "starts": starts,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "cpu_seconds": {name: spread(values) for name, values in cpu_seconds.items()},
        "speedup_over_n_init": spread(ratios(seconds[best], seconds["ours"])),
        "best": best,
        "inertia": inertia,
    }


def classifier(n: int, d: int, repeats: int, steps: int) -> dict[str, Any]:
    """`steps` steps of Adam on one thread, by the probe and by a loop with autograd; the same weights and batches."""
    codes, labels = latent_codes(n + 10_000, d)
    train, y_train, test, y_test = codes[:n], labels[:n], codes[n:], labels[n:]

    def ours() -> LinearClassifier:
        return SoftmaxClassifier(LR, *BETAS, EPS, BATCH_SIZE, steps, seed=0).fit(train, y_train, CLASSES)

    def with_autograd() -> LinearClassifier:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(0)
        X, y = torch.from_numpy(train), torch.from_numpy(y_train)
        layer = nn.Linear(d, CLASSES)
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
        adam = torch.optim.Adam(layer.parameters(), LR, BETAS, EPS, fused=True)
        epochs = -(-steps * BATCH_SIZE // n)
        order = torch.cat([torch.randperm(n, generator=generator) for _ in range(epochs)])
        for rows in order[: steps * BATCH_SIZE].view(steps, BATCH_SIZE):
            adam.zero_grad()
            nn.functional.cross_entropy(layer(X[rows]), y[rows]).backward()
            adam.step()
        torch.set_num_threads(threads)
        return LinearClassifier(layer.weight.detach().numpy(), layer.bias.detach().numpy())

    contenders = {"ours": ours, "autograd loop": with_autograd}
    seconds, cpu_seconds, layers = race(contenders, repeats)
    return {
        "codes": n,
        "d": d,
        "steps": steps,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "cpu_seconds": {name: spread(values) for name, values in cpu_seconds.items()},
        "speedup_over_autograd_loop": spread(ratios(seconds["autograd loop"], seconds["ours"])),
        "accuracy": {name: float((layer.predict(test) == y_test).mean()) for name, layer in layers.items()},
    }


def latent_codes(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n, d) of ten classes that overlap, three deviations apart, with a spectrum that falls off."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, n)
    scale = (1 / np.sqrt(np.arange(1, d + 1))).astype(np.float32)
    centres = (3 / np.sqrt(2 * d) * rng.normal(size=(CLASSES, d))).astype(np.float32)
    return scale * (centres[labels] + rng.standard_normal((n, d), np.float32)), labels


def race(
    contenders: dict[str, Callable[[], Any]], repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]], dict[str, Any]]:
    """Seconds of each contender in each repeat, in turn after a round to warm up; CPU seconds; what each returned.

    CPU seconds, of all threads together, still compare contenders of one thread on a machine that others use too.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in contenders}
    results = {name: contender() for name, contender in contenders.items()}
    for _ in range(repeats):
        for name, contender in contenders.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            contender()
            seconds[name].append(time.perf_counter() - started)
            cpu_seconds[name].append(time.process_time() - cpu_started)
    return seconds, cpu_seconds, results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--starts", type=int, default=20, help="of K-means")
    parser.add_argument("--steps", type=int, default=300, help="of the classifier")
    parser.add_argument("--wide", action="store_true", help="also codes of width 256 and raw pixels of 32x32x3")
    args = parser.parse_args()
    sizes = {}
    if args.wide:
        sizes = {
            "clustering_sizes": ((10_000, 64), (10_000, 256)),
            "classifier_sizes": ((60_000, 64), (50_000, 256), (50_000, 784), (20_000, 3072)),
        }
    print(json.dumps(measure(args.repeats, args.starts, args.steps, **sizes), indent=2))


if __name__ == "__main__":
    main()
