"""K-means on latent codes, scored against the labels: clustering accuracy and NMI (Wu & Flierl, arXiv:1905.11062)."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from softvq.checks import at_least
from softvq.probes.blas import even_blocks
from softvq.probes.checks import checked_features, checked_labels
from softvq.probes.kmeans import in_blocks, kmeans
from softvq.probes.progress import Progress


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class Clustering:
    """The best of all starts and its scores, as fractions of 1."""

    accuracy: float
    nmi: float
    inertia: float  # sum of squared distances to the own centre, in squared latent units
    clusters: np.ndarray  # (N,) cluster of each code


class KMeansProbe:
    """K-means from `n_init` independent k-means++ starts; the one with the lowest inertia counts, never the best score.

    Start i has its own seed, spawned from `seed`. Starts run in groups of about ten, a group on one thread and `jobs`
    groups at a time. Groups do not depend on `jobs`, so neither does the result: the same bits for any number.
    """

    def __init__(self, n_init: int, max_iter: int, tol: float, seed: int) -> None:
        at_least("probes.clustering.n_init", n_init, 1)
        at_least("probes.clustering.max_iter", max_iter, 1)
        at_least("probes.clustering.tol", tol, 0)
        self.n_init, self.max_iter, self.tol, self.seed = n_init, max_iter, tol, seed

    def __call__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        n_clusters: int,
        jobs: int,
        progress: Progress | None = None,
    ) -> Clustering:
        """Clusters the codes and scores the clusters.

        Shapes: features (N, d), cast to float32; labels (N,).
        Raises: ValueError: for features that are not finite, labels of one class, or fewer codes than clusters.
        """
        features = checked_features(features, "features")
        labels = checked_labels(labels, len(features), "labels")
        if len(features) < n_clusters:
            raise ValueError(
                f"K-means needs at least as many codes as clusters, got {len(features)} codes for {n_clusters} "
                "clusters; probe more test images (probes.test_limit)"
            )
        blocks = in_blocks(features, n_clusters)  # one copy, which all starts share

        def best_of(rngs: list[np.random.Generator]) -> tuple[float, np.ndarray]:
            clusters, inertia = kmeans(blocks, len(features), n_clusters, rngs, self.max_iter, self.tol)
            best = int(inertia.argmin())  # the first of equals
            return float(inertia[best]), clusters[best]

        rngs = [np.random.default_rng(child) for child in np.random.SeedSequence(self.seed).spawn(self.n_init)]
        groups = [rngs[block] for block in even_blocks(self.n_init, min(10, -(-self.n_init // 2)))]
        with threadpool_limits(1, user_api="blas"):
            pool = ThreadPoolExecutor(max(1, jobs))
            try:
                futures = {pool.submit(best_of, group): len(group) for group in groups}
                done = 0
                for future in as_completed(futures):
                    future.result()  # an error ends the probe now
                    done += futures[future]
                    if progress:
                        progress(done, self.n_init)
            finally:
                pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the groups that are still queued
        inertia, clusters = min((future.result() for future in futures), key=lambda result: result[0])
        return Clustering(clustering_accuracy(labels, clusters), nmi(labels, clusters), inertia, clusters)


def clustering_accuracy(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Share of points whose cluster stands for their class, under the best one-to-one match of clusters and classes.

    The match is the Hungarian algorithm's; of more clusters than classes (or fewer), those left over count as wrong.
    Example: labels 0 0 1 1 and clusters 5 5 5 3 match 5 with 0 and 3 with 1: three of four points, 0.75.
    """
    classes, label = np.unique(np.asarray(labels), return_inverse=True)
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    counts = np.zeros((len(names), len(classes)), dtype=np.int64)  # contingency table
    np.add.at(counts, (cluster, label), 1)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(label))


def nmi(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Normalised mutual information 2 I(L; C) / (H(L) + H(C)), the paper's form; 1 for two constant labelings."""
    from sklearn.metrics import normalized_mutual_info_score  # a second to load, which the first step need not wait for

    return float(normalized_mutual_info_score(labels, clusters, average_method="arithmetic"))
