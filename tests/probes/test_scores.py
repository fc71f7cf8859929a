"""Scores by hand, by the formula and beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, normalized_mutual_info_score

from softvq.probes.scores import accuracy, clustering_accuracy, nmi


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


def test_clustering_accuracy_ignores_cluster_relabelling():
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(0, 10, (2, 500))
    renamed = rng.permutation(100)[clusters]
    assert clustering_accuracy(labels, renamed) == clustering_accuracy(labels, clusters)
    assert clustering_accuracy(labels, 7 - labels) == 1


def test_clustering_accuracy_is_the_best_match_and_not_the_greedy_one():
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
    assert nmi(labels, clusters) == pytest.approx(nmi_by_formula(labels, clusters), abs=1e-6)


def test_nmi_by_hand():
    # Clusters split each of two equal classes in two: I = H(L) = ln 2, H(C) = 2 ln 2, so 2 ln 2 / (3 ln 2). The
    # geometric mean of the entropies would give 1 / sqrt(2).
    assert nmi(*points([[1, 1, 0, 0], [0, 0, 1, 1]])) == pytest.approx(2 / 3)


def test_nmi_of_constant_clusters_is_zero_and_of_two_constants_one():
    assert nmi([0, 1, 0, 1], [5, 5, 5, 5]) == 0
    assert nmi([2, 2, 2], [5, 5, 5]) == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("labelled", "clustered"), [(10, 10), (3, 40), (150, 7), (2, 2)])
def test_scores_are_those_of_scikit_learn(seed, labelled, clustered):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, labelled, 2000)
    clusters = np.where(rng.random(2000) < 0.7, labels % clustered, rng.integers(0, clustered, 2000))
    assert nmi(labels, clusters) == pytest.approx(normalized_mutual_info_score(labels, clusters), abs=2e-6)
    classes = max(labelled, clustered)
    assert accuracy(labels, clusters, classes) == pytest.approx(accuracy_score(labels, clusters), rel=1e-15)
