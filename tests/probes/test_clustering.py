"""K-means on latent codes: which start counts, what decides it, and Berthelot et al.'s way."""

import threading
from itertools import pairwise

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from softvq.probes.clustering import KMeansProbe, WhitenedKMeansProbe, whitened
from softvq.probes.codes import Codes
from softvq.probes.scores import clustering_accuracy, nmi

DIGITS = load_digits()
X, LABELS = DIGITS.data.astype(np.float32), DIGITS.target


def probe(n_init: int = 6, max_iter: int = 300, tol: float = 1e-4, seed: int = 0) -> KMeansProbe:
    return KMeansProbe(n_init, max_iter, tol, seed)


def whitened_probe(n_init: int = 3) -> WhitenedKMeansProbe:
    return WhitenedKMeansProbe(n_init, 1000, 1e-4, seed=0)


def codes(test: np.ndarray, labels: np.ndarray, classes: int | None = None) -> Codes:
    """Codes of which the test part alone counts."""
    return Codes(test[:0], labels[:0], test, labels, classes or int(labels.max()) + 1)


def test_a_start_is_scikit_learns():
    seed = int(np.random.SeedSequence(0).spawn(1)[0].generate_state(1)[0])
    theirs = KMeans(10, n_init=1, max_iter=300, tol=1e-4, random_state=seed).fit(X)
    ours = probe(n_init=1).fit(X, 10, jobs=1)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)


def test_scores_are_those_of_the_start_of_lowest_inertia():
    starts = [
        KMeans(10, n_init=1, random_state=int(child.generate_state(1)[0])).fit(X)
        for child in np.random.SeedSequence(4).spawn(4)
    ]
    best = min(starts, key=lambda kmeans: kmeans.inertia_)
    assert max(clustering_accuracy(LABELS, s.labels_) for s in starts) > clustering_accuracy(LABELS, best.labels_)
    assert probe(n_init=4, seed=4)(codes(X, LABELS), jobs=2) == {
        "clustering_accuracy": clustering_accuracy(LABELS, best.labels_),
        "clustering_nmi": nmi(LABELS, best.labels_),
    }


def test_more_starts_never_raise_the_inertia():
    inertia = [probe(n_init=n).fit(X, 10, 1).inertia_ for n in (1, 3, 9)]
    assert all(more <= less for less, more in pairwise(inertia))
    assert inertia[-1] < inertia[0]


def test_result_does_not_depend_on_jobs():
    one, two, many = (probe().fit(X, 10, jobs) for jobs in (1, 2, 5))
    for other in (two, many):
        assert one.inertia_ == other.inertia_
        np.testing.assert_array_equal(one.labels_, other.labels_)
        np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)


def test_the_seed_decides_the_starts():
    first, again, other = (probe(n_init=1, seed=seed).fit(X, 10, 1) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.labels_, again.labels_)
    assert first.inertia_ != other.inertia_


def test_classes_far_apart_are_found():
    labels = np.repeat(np.arange(4), 50)
    apart = 20 * np.eye(4)[labels] + np.random.default_rng(0).normal(size=(200, 4))
    found = probe()(codes(apart, labels), 2)
    assert found == {"clustering_accuracy": 1, "clustering_nmi": pytest.approx(1)}


def test_scale_and_offset_of_the_codes_do_not_matter():
    found, moved = probe()(codes(X, LABELS), 1), probe()(codes(256 * X + 4096, LABELS), 1)
    assert moved["clustering_accuracy"] == pytest.approx(found["clustering_accuracy"], abs=0.005)


def test_collapsed_codes_score_as_the_largest_class_and_are_told(capsys):
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    found = probe(n_init=3)(codes(np.full((100, 8), 0.3, np.float32), labels), 1)
    assert found == {"clustering_accuracy": 0.6, "clustering_nmi": 0}
    said = capsys.readouterr().err
    assert "K-means found 1 clusters in place of 3, as the 100 codes have only 1 distinct values" in said.replace(
        "\n", " "
    )
    assert said.count("warning") == 1


def test_fewer_distinct_codes_than_clusters_are_told(capsys):
    labels = np.repeat(np.arange(10), 20)
    few = np.eye(4, dtype=np.float32)[labels % 4]
    assert len(np.unique(probe(n_init=3).fit(few, 10, 1).labels_)) == 4
    assert "only 4 distinct values" in capsys.readouterr().err


def test_progress_reaches_the_total_in_the_callers_thread():
    calls = []
    probe()(codes(X, LABELS), 2, lambda done, total: calls.append((done, total, threading.get_ident())))
    assert [call[:2] for call in calls] == [(done, 6) for done in range(1, 7)]
    assert {call[2] for call in calls} == {threading.get_ident()}


def test_an_interrupt_does_not_wait_for_the_starts_that_are_left():
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        probe(n_init=10_000)(codes(X, LABELS), 1, interrupt)
    assert threading.active_count() == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_codes_that_are_not_finite_are_an_error(value):
    bad = X.copy()
    bad[41, 3] = value
    with pytest.raises(ValueError, match="test codes hold NaN or infinity in 1 of 1797 rows, first in row 41"):
        probe()(codes(bad, LABELS), 1)


def test_codes_beyond_float32_squares_are_an_error():
    with pytest.raises(ValueError, match="test codes hold values beyond 1e15: the training has diverged"):
        probe()(codes(X * 1e18, LABELS), 1)


def test_a_single_class_is_an_error():
    with pytest.raises(ValueError, match=r"test labels hold a single class \(4\)"):
        probe()(codes(X, np.full(1797, 4)), 1)


def test_fewer_codes_than_clusters_are_an_error():
    with pytest.raises(ValueError, match="5 codes for 10 clusters; probe more images"):
        probe()(codes(X[:5], LABELS[:5], 10), 1)


def test_labels_of_another_length_are_an_error():
    with pytest.raises(ValueError, match="each of the 1797 rows"):
        probe()(codes(X, LABELS[:-1]), 1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_init": 0}, "probes.clustering.n_init must be at least 1, got 0"),
        ({"n_init": 1.5}, "probes.clustering.n_init must be a whole number, got 1.5"),
        ({"max_iter": 0}, "probes.clustering.max_iter must be at least 1, got 0"),
        ({"tol": -1.0}, r"probes.clustering.tol must be at least 0, got -1\.0"),
        ({"seed": "x"}, "probes.seed must be a whole number, got 'x'"),
    ],
)
def test_a_wrong_setting_is_an_error(setting, message):
    with pytest.raises(ValueError, match=message):
        probe(**setting)


# --- Berthelot et al.


def test_whitened_codes_are_the_principal_components_of_equal_variance():
    train, test = X[:1200], X[1200:]
    varying = train.std(0) > 0
    own, other = whitened(train, test)
    pca = PCA(svd_solver="full", whiten=True).fit(train[:, varying].astype(np.float64))
    n = len(train)
    for found, raw in ((own, train), (other, test)):
        expected = pca.transform(raw[:, varying].astype(np.float64)) / np.sqrt(n - 1)  # PCA whitens to variance 1
        strong = pca.explained_variance_ > 1e-3
        np.testing.assert_allclose(np.abs(found[:, : len(strong)][:, strong]), np.abs(expected[:, strong]), atol=1e-4)
    gram = own.astype(np.float64).T @ own
    np.testing.assert_allclose(np.diag(gram)[:20], 1, atol=1e-4)
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-4)


def test_directions_that_do_not_vary_stay_zero():
    train = np.concatenate([X[:500, 20:30], np.full((500, 3), 0.7, np.float32)], axis=1)
    own, _ = whitened(train, train)
    assert np.abs(own[:, 10:]).max() < 1e-3
    assert np.isfinite(own).all()


def test_units_of_small_variance_count_like_the_others():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    loud, quiet = 100 * rng.normal(size=400), 0.01 * (np.where(labels, 1, -1) + 0.1 * rng.normal(size=400))
    both = np.stack([loud, quiet], axis=1).astype(np.float32)
    shuffled = rng.permutation(400)
    given = Codes(both[shuffled], labels[shuffled], both, labels, 2)
    assert probe()(given, 1)["clustering_accuracy"] < 0.6
    found = whitened_probe()(given, 1)
    assert found["clustering_accuracy"] > 0.95
    assert found["train_clustering_accuracy"] > 0.95


def test_clusters_are_fitted_on_the_training_codes_alone():
    train, labels = X[:1200], LABELS[:1200]
    few, more = (whitened_probe()(Codes(train, labels, X[1200:n], LABELS[1200:n], 10), 1) for n in (1500, 1797))
    for name in ("train_clustering_accuracy", "train_clustering_nmi"):
        assert few[name] == more[name]
    assert few["clustering_accuracy"] != more["clustering_accuracy"]


def test_whitened_starts_are_random_codes():
    found = whitened_probe(n_init=1).fit(X, 10, 1)
    seed = int(np.random.SeedSequence(0).spawn(1)[0].generate_state(1)[0])
    theirs = KMeans(10, init="random", n_init=1, max_iter=1000, random_state=seed).fit(X)
    np.testing.assert_array_equal(found.labels_, theirs.labels_)
