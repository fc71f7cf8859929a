"""K-means on latent codes, scored against the labels: clustering accuracy and NMI (Wu & Flierl, arXiv:1905.11062)."""

import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from softvq.probes.checks import checked_features, checked_labels
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

    Start i has its own seed, spawned from `seed`, and runs on one thread; `jobs` of them run at a time. So the result
    is the same, bit for bit, for any `jobs`, and a start never waits for another one's slowest thread.
    """

    def __init__(self, n_init: int, max_iter: int, tol: float, seed: int) -> None:
        if n_init < 1:
            raise ValueError(f"probes.clustering.n_init must be at least 1, got {n_init}")
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

        def start(seed: int) -> KMeans:
            # Lloyd and Elkan give the same clusters; at d = 64 and 10 clusters Lloyd is the faster one.
            kmeans = KMeans(n_clusters, n_init=1, max_iter=self.max_iter, tol=self.tol, random_state=seed)
            return kmeans.fit(features)

        seeds = [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(self.seed).spawn(self.n_init)]
        # BLAS has one limit for the process and OpenMP one for each thread that enters it: hence two places.
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
            # A collapsed bottleneck has fewer distinct codes than classes: a finding, which the scores show.
            warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
            pool = ThreadPoolExecutor(max(1, jobs), initializer=threadpool_limits, initargs=(1, "openmp"))
            try:
                futures = [pool.submit(start, seed) for seed in seeds]
                for done, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    if progress:
                        progress(done, self.n_init)
            finally:
                pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the starts that are still queued
        best = min((future.result() for future in futures), key=lambda kmeans: kmeans.inertia_)  # the first of equals
        return Clustering(
            accuracy=clustering_accuracy(labels, best.labels_),
            nmi=nmi(labels, best.labels_),
            inertia=float(best.inertia_),
            clusters=best.labels_,
        )


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
    return float(normalized_mutual_info_score(labels, clusters, average_method="arithmetic"))
