"""One probing of latent codes under a named protocol."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from softvq.bottlenecks.codebook import perplexity
from softvq.probes.classification import Classification
from softvq.probes.clustering import Clustering
from softvq.probes.progress import Progress

ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True)
class Codes:
    """Latent codes of both parts of a data set and their labels.

    Shapes: train (N, d), train_labels (N,), test (n, d), test_labels (n,).
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: int

    def limited(self, train_limit: int | None, test_limit: int | None) -> "Codes":
        """The first codes of each part; None takes all."""
        return Codes(
            self.train[:train_limit],
            self.train_labels[:train_limit],
            self.test[:test_limit],
            self.test_labels[:test_limit],
            self.classes,
        )


@dataclass(frozen=True)
class ProbeResult:
    """Fractions of 1, as the paper's tables have them in percent."""

    clustering_accuracy: float
    clustering_nmi: float
    classification_accuracy: float


def probe(
    codes: Codes,
    clustering: Callable[..., Clustering],
    classification: Callable[..., Classification],
    jobs: int,
    progress: Callable[[str], Progress | None],
) -> ProbeResult:
    """Clusters the test codes, and trains the classifier on the training codes to score it on the test codes.

    Args:
        codes: what is probed.
        clustering: K-means, with as many clusters as classes.
        classification: the single-layer classifier.
        jobs: K-means starts at a time.
        progress: gives each probe, by name, what it reports to.
    """
    clusters = clustering(codes.test, codes.test_labels, codes.classes, jobs, progress("clustering"))
    classifier = classification(
        codes.train, codes.train_labels, codes.test, codes.test_labels, codes.classes, progress("classification")
    )
    return ProbeResult(clusters.accuracy, clusters.nmi, classifier.accuracy)


def diagnostics(test_codes: np.ndarray, index: np.ndarray | None, K: int | None) -> dict[str, Any]:
    """How much of a code is in use, over the test set.

    Shapes: test_codes z_e (n, d); index (n, M) of the codewords used, None without a codebook.
    Returns: active_units, the number of units whose variance is above 0.01; with a codebook also the perplexity and
        the number of dead codes.
    """
    found: dict[str, Any] = {"active_units": int((test_codes.var(0) > ACTIVE_VARIANCE).sum())}
    if index is not None and K is not None:
        share = np.bincount(index.ravel(), minlength=K) / index.size
        found["perplexity"] = perplexity(torch.from_numpy(share)).item()
        found["dead_codes"] = int((share == 0).sum())
    return found
