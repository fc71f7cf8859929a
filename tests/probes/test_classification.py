"""The one-layer classifiers: steps beside an autograd loop, the convex fit beside scikit-learn's."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

from softvq.probes.classification import (
    Classification,
    LogisticRegressionProbe,
    SoftmaxClassifier,
    glorot_uniform,
    permutations,
)
from softvq.probes.clustering import KMeansProbe
from softvq.probes.softmax import SoftmaxCrossEntropy

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Classifier = Callable[..., Classification]


@pytest.fixture(scope="module")
def digits() -> Split:
    data = load_digits()
    X, y = data.data.astype(np.float32) / 16, data.target
    return X[:1200], y[:1200], X[1200:], y[1200:]


def softmax_classifier(batch_size: int = 128, steps: int = 400, seed: int = 0) -> SoftmaxClassifier:
    return SoftmaxClassifier(lr=0.01, beta_1=0.9, beta_2=0.999, eps=1e-8, batch_size=batch_size, steps=steps, seed=seed)


def logistic_regression(C: float = 1.0, tol: float = 1e-4, max_iter: int = 50) -> LogisticRegressionProbe:
    return LogisticRegressionProbe(C, tol, max_iter)


either = pytest.mark.parametrize("classifier", [softmax_classifier(), logistic_regression()])


@pytest.mark.parametrize(("d", "classes", "batch_size"), [(5, 3, 16), (700, 10, 128), (64, 101, 37)])
def test_steps_are_those_of_an_autograd_loop_on_the_same_batches(d, classes, batch_size):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, d)), rng.integers(0, classes, 300)
    weight, bias = glorot_uniform(d, classes, rng).astype(np.float64), np.zeros(classes)
    steps = 40
    order = np.concatenate([rng.permutation(300) for _ in range(steps * batch_size // 300 + 1)])

    layer = nn.Linear(d, classes, dtype=torch.float64)
    layer.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    adam = torch.optim.Adam(layer.parameters(), lr=0.01, betas=(0.9, 0.999), eps=1e-8)
    for batch in order[: steps * batch_size].reshape(steps, batch_size):
        adam.zero_grad()
        nn.functional.cross_entropy(layer(torch.tensor(X[batch])), torch.tensor(y[batch])).backward()
        adam.step()

    pieces = iter(np.array_split(order, 7))
    softmax_classifier(batch_size, steps).fit(weight, bias, X, y, pieces)
    np.testing.assert_allclose(weight, layer.weight.detach().numpy(), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(bias, layer.bias.detach().numpy(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("rows", "d", "classes"), [(1, 1, 2), (128, 784, 10), (130, 3072, 10), (37, 50, 1000)])
def test_loss_and_gradient_are_those_of_autograd(rows, d, classes):
    rng = np.random.default_rng(0)
    W, b, X = rng.normal(size=(classes, d)), rng.normal(size=classes), rng.normal(size=(rows, d))
    y = rng.integers(0, classes, rows)
    weight, bias = (torch.tensor(value, requires_grad=True) for value in (W, b))
    logits = nn.functional.linear(torch.tensor(X), weight, bias)
    loss = nn.functional.cross_entropy(logits, torch.tensor(y), reduction="sum")
    loss.backward()
    cross_entropy = SoftmaxCrossEntropy(rows, d, classes, np.dtype(np.float64))
    grad_W, grad_b = np.empty_like(W), np.empty_like(b)
    assert cross_entropy.loss_and_gradient(W, b, X, y, grad_W, grad_b) == pytest.approx(loss.item(), rel=1e-12)
    for mine, theirs in ((grad_W, weight.grad), (grad_b, bias.grad)):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-9, atol=1e-12)
    again_W, again_b = np.empty_like(W), np.empty_like(b)
    cross_entropy.gradient(W, b, X, y, again_W, again_b)
    np.testing.assert_array_equal(again_W, grad_W)
    np.testing.assert_array_equal(again_b, grad_b)


def test_logits_of_any_size_give_a_finite_gradient():
    X = np.array([[1e30], [-1e30]], np.float32)
    W, b = np.array([[1.0], [-1.0]], np.float32), np.zeros(2, np.float32)
    grad_W, grad_b = np.empty_like(W), np.empty_like(b)
    SoftmaxCrossEntropy(2, 1, 2, W.dtype).gradient(W, b, X, np.array([0, 1]), grad_W, grad_b)
    assert (grad_W == 0).all()  # both are right beyond doubt
    assert (grad_b == 0).all()


def test_every_epoch_sees_every_code_once_in_full_batches():
    n, batch_size, steps = 50, 16, 25  # eight epochs, whose borders lie within batches
    seen: list[np.ndarray] = []

    def order() -> Iterator[np.ndarray]:
        for piece in permutations(n, np.random.default_rng(0)):
            seen.append(piece)
            yield piece

    X = np.arange(n, dtype=np.float32)[:, None]
    classifier = softmax_classifier(batch_size, steps)
    batches = [(x.copy(), y.copy()) for x, y in classifier._batches(X, np.arange(n), order())]
    assert [len(y) for _, y in batches] == [batch_size] * steps
    assert all((x[:, 0] == y).all() for x, y in batches)
    rows = np.concatenate([y for _, y in batches])
    np.testing.assert_array_equal(rows, np.concatenate(seen)[: steps * batch_size])
    for epoch in rows.reshape(-1, n):
        assert sorted(epoch) == list(range(n))


@either
def test_separable_classes_are_separated(classifier: Classifier):
    labels = np.tile(np.arange(3), 100)
    codes = 4 * np.eye(3)[labels] + np.random.default_rng(0).uniform(-1, 1, (300, 3))
    found = classifier(codes[:150], labels[:150], codes[150:], labels[150:], 3)
    assert found.accuracy == 1
    assert found.train_loss < 0.1


@either
def test_result_is_the_score_of_the_returned_layer(classifier: Classifier, digits):
    train, y_train, test, y_test = digits
    found = classifier(*digits, 10)
    layer = nn.Linear(64, 10)
    layer.load_state_dict({"weight": torch.tensor(found.weight), "bias": torch.tensor(found.bias)})
    assert found.accuracy == (layer(torch.tensor(test)).argmax(1).numpy() == y_test).mean()
    loss = nn.functional.cross_entropy(layer(torch.tensor(train)), torch.tensor(y_train))
    assert found.train_loss == pytest.approx(loss.item(), rel=1e-4)
    assert found.accuracy > 0.85


@either
def test_same_seed_same_bits(classifier: Classifier, digits):
    first, again = classifier(*digits, 10), classifier(*digits, 10)
    np.testing.assert_array_equal(first.weight, again.weight)
    assert (first.accuracy, first.train_loss) == (again.accuracy, again.train_loss)


def test_the_seed_decides_weights_and_batches(digits):
    first, other = (softmax_classifier(steps=10, seed=seed)(*digits, 10) for seed in (0, 1))
    assert (first.weight != other.weight).any()


def test_weights_start_glorot_uniform():
    weight = glorot_uniform(200, 100, np.random.default_rng(0))
    limit = np.sqrt(6 / 300)
    assert weight.shape == (100, 200)
    assert 0.999 * limit < np.abs(weight).max() <= limit
    assert weight.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)


def test_convex_fit_is_scikit_learns(digits):
    train, y_train, test, y_test = digits
    ours = logistic_regression(tol=1e-6, max_iter=500)(*digits, 10)
    mean, std = train.mean(0), np.where(train.std(0) > 0, train.std(0), 1)
    theirs = LogisticRegression(C=1.0, tol=1e-6, max_iter=500).fit((train - mean) / std, y_train)
    logits = (ours.weight * std) @ ((test - mean) / std).T + (ours.bias + ours.weight @ mean)[:, None]
    expected = theirs.decision_function((test - mean) / std).T
    # a constant added to all logits of a code changes nothing
    np.testing.assert_allclose(logits - logits.mean(0), expected - expected.mean(0), atol=0.03)
    assert ours.accuracy == pytest.approx(theirs.score((test - mean) / std, y_test), abs=0.002)


def test_convex_fit_does_not_depend_on_the_scale_of_the_codes(digits):
    train, y_train, test, y_test = digits
    scale = np.logspace(-3, 3, 64).astype(np.float32)
    plain, scaled = (
        logistic_regression()(train * s, y_train, test * s, y_test, 10) for s in (np.float32(1), scale)
    )  # fmt: skip
    assert scaled.accuracy == pytest.approx(plain.accuracy, abs=0.005)
    assert scaled.train_loss == pytest.approx(plain.train_loss, rel=0.02)


def test_more_penalty_means_smaller_weights(digits):
    free, held = (logistic_regression(C=C)(*digits, 10) for C in (1.0, 1e-3))
    assert np.square(held.weight).sum() < np.square(free.weight).sum() / 4


@either
def test_codes_that_never_vary_and_a_class_never_seen_are_no_error(classifier: Classifier):
    labels = np.tile([0, 2], 50)
    codes = np.stack([labels, np.ones(100)], axis=1)
    assert classifier(codes, labels, codes, labels, 3).accuracy == 1


@either
def test_progress_reaches_the_total(classifier: Classifier, digits):
    calls: list[tuple[int, int]] = []
    classifier(*digits, 10, progress=lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1][0] == calls[-1][1]


@either
def test_codes_that_are_not_finite_are_an_error(classifier: Classifier, digits):
    train, y_train, test, y_test = digits
    broken = test.copy()
    broken[7, 1] = np.nan
    with pytest.raises(ValueError, match="test features hold NaN or infinity in 1 of 597 rows, first in row 7"):
        classifier(train, y_train, broken, y_test, 10)


@either
def test_labels_beyond_the_classes_are_an_error(classifier: Classifier, digits):
    with pytest.raises(ValueError, match=r"train labels must lie in 0 \.\. 8 for 9 classes, got 0 \.\. 9"):
        classifier(*digits, 9)


@either
def test_a_single_class_is_an_error(classifier: Classifier, digits):
    train, y_train, test, y_test = digits
    with pytest.raises(ValueError, match=r"train labels hold a single class \(3\)"):
        classifier(train, np.full_like(y_train, 3), test, y_test, 10)


@either
def test_two_widths_are_an_error(classifier: Classifier, digits):
    train, y_train, test, y_test = digits
    with pytest.raises(ValueError, match="train features have 64 columns and test features 32"):
        classifier(train, y_train, test[:, :32], y_test, 10)


@pytest.mark.parametrize("key", ["batch_size", "steps"])
def test_a_setting_below_one_is_an_error(key):
    with pytest.raises(ValueError, match=f"probes.classification.{key} must be at least 1, got 0"):
        softmax_classifier(**{key: 0})


def test_a_penalty_that_is_none_is_an_error():
    with pytest.raises(ValueError, match=r"probes.classification.C must be positive, got 0\.0"):
        logistic_regression(C=0.0)


@pytest.mark.parametrize(("name", "classifier"), [("paper", SoftmaxClassifier), ("fast", LogisticRegressionProbe)])
def test_protocols_build_their_probes_with_their_own_seed(compose_train, name, classifier):
    probes = compose_train("data=digits", "seed=5", f"probes={name}", "probes.seed=7").probes
    assert isinstance(instantiate(probes.classification), classifier)
    clustering = instantiate(probes.clustering)
    assert isinstance(clustering, KMeansProbe)
    assert (probes.name, probes.tap, clustering.seed) == (name, "z_e", 7)
