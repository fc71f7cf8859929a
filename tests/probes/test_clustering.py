"""K-means on latent codes: scores by hand and by the formula, starts beside scikit-learn's."""

import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from softvq.probes import clustering
from softvq.probes.clustering import KMeansProbe, clustering_accuracy, nmi
from softvq.probes.kmeans import assign, in_blocks, lloyd, plus_plus


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return data.data.astype(np.float32), data.target


@pytest.fixture(scope="module")
def codes(digits) -> np.ndarray:
    """Digits, centred, and blurred by noise: whole numbers have equal distances, which rounding decides."""
    X = digits[0] + np.random.default_rng(0).normal(0, 0.5, digits[0].shape).astype(np.float32)
    return X - X.mean(0)


def probe(n_init: int = 12, max_iter: int = 300, tol: float = 1e-4, seed: int = 0) -> KMeansProbe:
    return KMeansProbe(n_init, max_iter, tol, seed)


def points(contingency: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and clusters with the given table: a row for each class, a column for each cluster."""
    table = np.array(contingency)
    labels, clusters = np.indices(table.shape).reshape(2, -1)
    return np.repeat(labels, table.ravel()), np.repeat(clusters, table.ravel())


def nmi_by_formula(labels: np.ndarray, clusters: np.ndarray) -> float:
    """2 I / (H + H) from the joint distribution, written out."""
    joint = np.array(
        [[np.mean((labels == a) & (clusters == b)) for b in np.unique(clusters)] for a in np.unique(labels)]
    )
    row, column = joint.sum(1), joint.sum(0)
    information = sum(
        joint[i, j] * np.log(joint[i, j] / (row[i] * column[j])) for i, j in np.argwhere(joint > 0)
    )  # fmt: skip
    return 2 * information / (-(row * np.log(row)).sum() - (column * np.log(column)).sum())


def test_accuracy_ignores_cluster_relabelling(digits):
    labels = digits[1]
    clusters = np.random.default_rng(0).integers(0, 10, len(labels))
    renamed = np.random.default_rng(1).permutation(100)[clusters]
    assert clustering_accuracy(labels, renamed) == clustering_accuracy(labels, clusters)
    assert clustering_accuracy(labels, 7 - labels) == 1


def test_accuracy_is_the_best_match_and_not_the_greedy_one():
    # Greedy takes 5 first and is left with 0: 5 of 13. The best match is 4 + 4.
    assert clustering_accuracy(*points([[5, 4], [4, 0]])) == 8 / 13


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[3, 0, 2], [0, 4, 1]], 7 / 10),  # three clusters, two classes: the third matches none
        ([[3, 0], [0, 4], [2, 1]], 7 / 10),  # two clusters, three classes
        ([[6], [4]], 6 / 10),  # one cluster stands for the larger class
    ],
)
def test_each_cluster_stands_for_one_class_at_most(table, expected):
    assert clustering_accuracy(*points(table)) == expected


@pytest.mark.parametrize("table", [[[5, 1], [2, 4]], [[3, 0, 2], [0, 4, 1]], [[7, 1, 1], [0, 5, 0], [2, 2, 9]]])
def test_nmi_is_twice_the_information_over_the_sum_of_entropies(table):
    labels, clusters = points(table)
    assert nmi(labels, clusters) == pytest.approx(nmi_by_formula(labels, clusters), abs=1e-12)


def test_nmi_by_hand():
    # Clusters split each of two equal classes in two: I = H(L) = ln 2, H(C) = 2 ln 2, so 2 ln 2 / (3 ln 2). The
    # geometric mean of the entropies would give 1 / sqrt(2).
    assert nmi(*points([[1, 1, 0, 0], [0, 0, 1, 1]])) == pytest.approx(2 / 3)


def test_nmi_of_constant_clusters_is_zero_and_of_two_constants_one():
    assert nmi([0, 1, 0, 1], [5, 5, 5, 5]) == 0
    assert nmi([2, 2, 2], [5, 5, 5]) == 1


def test_nmi_of_independent_clusters_is_zero():
    assert nmi(*points([[2, 4], [3, 6]])) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("K", [2, 10, 37])
def test_iterations_are_those_of_scikit_learn(codes, K):
    first = plus_plus(codes, K, [np.random.default_rng(s) for s in range(4)])
    tol = 1e-4 * float(codes.var(axis=0).mean())
    clusters, inertia = assign(codes, lloyd(in_blocks(codes, K), len(codes), first, 300, tol))
    for s in range(4):
        theirs = KMeans(K, init=first[s], n_init=1, max_iter=300, tol=1e-4).fit(codes)
        np.testing.assert_array_equal(clusters[s], theirs.labels_)
        assert inertia[s] == pytest.approx(theirs.inertia_, rel=1e-5)


@pytest.mark.parametrize("empty", ["far away", "twice the same"])
def test_an_empty_cluster_takes_the_farthest_code_as_in_scikit_learn(codes, empty):
    first = codes[:5].copy()
    first[3] = 1e3 if empty == "far away" else first[1]  # of equal centres, the first takes the codes
    ours = assign(codes, lloyd(in_blocks(codes, 5), len(codes), first[None], 300, 0.0))[0][0]
    theirs = KMeans(5, init=first, n_init=1, max_iter=300, tol=0.0).fit(codes).labels_
    assert len(np.unique(ours)) == 5
    np.testing.assert_array_equal(ours, theirs)


def test_first_centres_are_distinct_codes_spread_out(codes):
    drawn = plus_plus(codes, 10, [np.random.default_rng(s) for s in range(20)])
    assert all(len(np.unique(centres, axis=0)) == 10 for centres in drawn)
    at_random = np.stack([codes[np.random.default_rng(s).permutation(len(codes))[:10]] for s in range(20)])
    assert assign(codes, drawn)[1].mean() < assign(codes, at_random)[1].mean()


def test_inertia_is_the_squared_distance_to_the_means_of_the_clusters(digits):
    X, labels = digits
    found = probe()(X, labels, 10, 1)
    own = [X[found.clusters == k].astype(np.float64) for k in range(10)]
    assert found.inertia == pytest.approx(sum(((x - x.mean(0)) ** 2).sum() for x in own), rel=1e-4)


def test_the_start_of_lowest_inertia_counts_and_not_the_most_accurate(monkeypatch):
    labels = np.array([0, 0, 1, 1])
    right, wrong = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    # Starts of two groups: the best score has the highest inertia; of the two lowest, the first counts.
    starts: Iterator[tuple[np.ndarray, float]] = iter([(right, 3.0), (wrong, 1.0), (right, 1.0), (right, 2.0)])

    def kmeans(blocks, N, K, rngs, max_iter, tol):
        clusters, inertia = zip(*(next(starts) for _ in rngs), strict=True)
        return np.stack(clusters), np.array(inertia)

    monkeypatch.setattr(clustering, "kmeans", kmeans)
    found = probe(n_init=4)(np.eye(4, dtype=np.float32), labels, 2, 1)
    assert (found.inertia, found.accuracy) == (1.0, 0.5)


def test_more_starts_never_raise_the_inertia(digits):
    inertia = [probe(n_init=n)(*digits, 10, 1).inertia for n in (1, 3, 9, 27)]
    assert all(more <= less * (1 + 1e-6) for less, more in pairwise(inertia))
    assert inertia[-1] < inertia[0]


def test_result_does_not_depend_on_jobs(digits):
    one, two, many = (probe(n_init=25)(*digits, 10, jobs) for jobs in (1, 2, 5))
    for other in (two, many):
        assert (one.accuracy, one.nmi, one.inertia) == (other.accuracy, other.nmi, other.inertia)
        np.testing.assert_array_equal(one.clusters, other.clusters)


def test_the_seed_decides_the_starts(digits):
    first, again, other = (probe(n_init=1, seed=seed)(*digits, 10, 1) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.clusters, again.clusters)
    assert first.inertia != other.inertia


def test_classes_far_apart_are_found():
    labels = np.repeat(np.arange(4), 50)
    codes = 20 * np.eye(4)[labels] + np.random.default_rng(0).normal(size=(200, 4))
    found = probe(n_init=5)(codes, labels, 4, 2)
    assert (found.accuracy, found.nmi) == (1, pytest.approx(1))


def test_scale_and_offset_of_the_codes_do_not_matter(digits):
    X, labels = digits
    found, moved = probe()(X, labels, 10, 1), probe()(256 * X + 4096, labels, 10, 1)
    assert moved.accuracy == pytest.approx(found.accuracy, abs=0.005)
    assert moved.inertia == pytest.approx(256**2 * found.inertia, rel=1e-3)


def test_collapsed_codes_score_as_the_largest_class():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    found = probe(n_init=3)(np.full((100, 8), 0.3, np.float32), labels, 3, 1)
    assert (found.accuracy, found.nmi) == (0.6, pytest.approx(0, abs=1e-12))


def test_fewer_distinct_codes_than_clusters_are_no_error():
    labels = np.repeat(np.arange(10), 20)
    codes = np.eye(4, dtype=np.float32)[labels % 4]
    assert len(np.unique(probe(n_init=3)(codes, labels, 10, 1).clusters)) == 4


def test_progress_reaches_the_total_in_the_callers_thread(digits):
    calls = []
    probe(n_init=25)(*digits, 10, 2, lambda done, total: calls.append((done, total, threading.get_ident())))
    done = [call[0] for call in calls]
    assert done == sorted(set(done))
    assert calls[-1][:2] == (25, 25)
    assert {call[2] for call in calls} == {threading.get_ident()}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_codes_that_are_not_finite_are_an_error(digits, value):
    X = digits[0].copy()
    X[41, 3] = value
    with pytest.raises(ValueError, match="features hold NaN or infinity in 1 of 1797 rows, first in row 41"):
        probe()(X, digits[1], 10, 1)


def test_codes_beyond_float32_squares_are_an_error(digits):
    with pytest.raises(ValueError, match="features hold values beyond 1e15: the training has diverged"):
        probe()(digits[0] * 1e18, digits[1], 10, 1)


def test_a_single_class_is_an_error(digits):
    with pytest.raises(ValueError, match=r"labels hold a single class \(4\)"):
        probe()(digits[0], np.full(1797, 4), 10, 1)


def test_fewer_codes_than_clusters_are_an_error(digits):
    with pytest.raises(ValueError, match="5 codes for 10 clusters; probe more test images"):
        probe()(digits[0][:5], digits[1][:5], 10, 1)


def test_labels_of_another_length_are_an_error(digits):
    with pytest.raises(ValueError, match="each of the 1797 rows"):
        probe()(digits[0], digits[1][:-1], 10, 1)


@pytest.mark.parametrize("key", ["n_init", "max_iter"])
def test_a_setting_below_one_is_an_error(key):
    with pytest.raises(ValueError, match=f"probes.clustering.{key} must be at least 1, got 0"):
        probe(**{key: 0})
