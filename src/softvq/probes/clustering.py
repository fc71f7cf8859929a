"""K-means on latent codes, scored against the labels: clustering accuracy and NMI (Wu & Flierl, arXiv:1905.11062)."""

import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits

from softvq.checks import at_least
from softvq.console import screen
from softvq.probes.checks import checked_features, checked_labels
from softvq.probes.codes import Codes
from softvq.probes.progress import Progress
from softvq.probes.scores import clustering_accuracy, nmi

if TYPE_CHECKING:
    from sklearn.cluster import KMeans


class KMeansProbe:
    """scikit-learn's K-means on the test codes, as the released notebook has it: as many clusters as classes.

    `n_init` k-means++ starts, of which the one with the lowest inertia counts, never the one with the best score.
    """

    init = "k-means++"

    def __init__(self, n_init: int, max_iter: int, tol: float, seed: int) -> None:
        at_least("probes.clustering.n_init", n_init, 1, whole=True)
        at_least("probes.clustering.max_iter", max_iter, 1, whole=True)
        at_least("probes.clustering.tol", tol, 0)
        at_least("probes.seed", seed, 0, whole=True)
        self.n_init, self.max_iter, self.tol, self.seed = n_init, max_iter, tol, seed

    def __call__(self, codes: Codes, jobs: int, progress: Progress | None = None) -> dict[str, float]:
        """Clusters the test codes and scores the clusters.

        Raises:
            ValueError: for codes that are not finite, labels of one class, or fewer codes than clusters.
        """
        features = checked_features(codes.test, "test codes")
        labels = checked_labels(codes.test_labels, len(features), "test labels")
        clusters = self.fit(features, codes.classes, jobs, progress).labels_
        return {"clustering_accuracy": clustering_accuracy(labels, clusters), "clustering_nmi": nmi(labels, clusters)}

    def fit(self, features: np.ndarray, n_clusters: int, jobs: int, progress: Progress | None = None) -> "KMeans":
        """The start of lowest inertia, of `n_init`; `jobs` of them run at a time.

        Start i has its own seed, drawn from `seed`, and one thread. So the result has the same bits for any number of
        jobs, and more starts never give a higher inertia.

        Shapes: features (N, d), float32.

        Raises:
            ValueError: for fewer codes than clusters.
        """
        if len(features) < n_clusters:
            raise ValueError(
                f"K-means needs at least as many codes as clusters, got {len(features)} codes for {n_clusters} "
                "clusters; probe more images (probes.test_limit)"
            )
        from sklearn.cluster import KMeans  # seconds to load
        from sklearn.exceptions import ConvergenceWarning

        libraries = ThreadpoolController()  # to look for them takes as long as a tenth of a start

        def start(seed: int) -> "KMeans":
            with libraries.limit(limits=1, user_api="openmp"):  # of this Python thread alone
                kmeans = KMeans(
                    n_clusters, init=self.init, n_init=1, max_iter=self.max_iter, tol=self.tol, random_state=seed
                )
                return kmeans.fit(features)

        seeds = [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(self.seed).spawn(self.n_init)]
        with libraries.limit(limits=1, user_api="blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it is told once, below, and not for each start
            pool = ThreadPoolExecutor(max(1, jobs))
            try:
                futures = [pool.submit(start, seed) for seed in seeds]
                for done, future in enumerate(as_completed(futures), start=1):
                    future.result()  # an error ends the probe now
                    if progress:
                        progress(done, self.n_init)
            finally:
                pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the starts that are still queued
        best = min((future.result() for future in futures), key=lambda kmeans: kmeans.inertia_)  # the first of equals
        if (found := len(np.unique(best.labels_))) < n_clusters:
            screen.print_warning(
                f"clustering: K-means found {found} clusters in place of {n_clusters}, as the {len(features):,} codes "
                f"have only {len(np.unique(features, axis=0)):,} distinct values"
            )
        return best


class WhitenedKMeansProbe(KMeansProbe):
    """K-means as the public code of Berthelot et al. (2018) has it: fitted on the whitened training codes.

    The codes are centred by the training codes' mean and multiplied by V (S + 1e-5)^-1 of their singular value
    decomposition U S V^T, so that inactive directions count like active ones. The starts' centres are random codes.
    Test codes get the cluster of the nearest centre; training codes are scored as well.

    Reference: Berthelot et al. (2018), "Understanding and Improving Interpolation in Autoencoders via an Adversarial
    Regularizer", code at github.com/brain-research/acai, cluster.py.
    """

    init = "random"

    def __call__(self, codes: Codes, jobs: int, progress: Progress | None = None) -> dict[str, float]:
        """Clusters the training codes and scores the clusters of training and test codes.

        Raises:
            ValueError: as KMeansProbe, and for two widths d.
        """
        train, test = checked_features(codes.train, "train codes"), checked_features(codes.test, "test codes")
        train_labels = checked_labels(codes.train_labels, len(train), "train labels")
        test_labels = checked_labels(codes.test_labels, len(test), "test labels")
        train, test = whitened(train, test)
        kmeans = self.fit(train, codes.classes, jobs, progress)
        with threadpool_limits(1):
            clusters = kmeans.predict(test)
        return {
            "clustering_accuracy": clustering_accuracy(test_labels, clusters),
            "clustering_nmi": nmi(test_labels, clusters),
            "train_clustering_accuracy": clustering_accuracy(train_labels, kmeans.labels_),
            "train_clustering_nmi": nmi(train_labels, kmeans.labels_),
        }


def whitened(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both parts in the training codes' principal directions, each of the same variance in the training codes.

    Shapes: train (N, d), test (n, d), float32. Returns (N, d) and (n, d): the training part has orthonormal columns,
    but for those directions in which the codes do not vary.
    """
    mean = train.mean(0, dtype=np.float64)
    centred = train - mean
    with threadpool_limits(1, user_api="blas"):
        # R of centred = QR has the same S and V, and is only d x d.
        _, S, Vt = np.linalg.svd(np.linalg.qr(centred, mode="r"), full_matrices=False)
        scale = Vt.T / (S + 1e-5)
        return (centred @ scale).astype(np.float32), ((test - mean) @ scale).astype(np.float32)
