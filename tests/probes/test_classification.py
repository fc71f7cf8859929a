"""The one-layer classifiers: steps beside an autograd loop, the convex fit beside scikit-learn's."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

from softvq.probes.classification import LogisticRegressionProbe, SoftmaxClassifier
from softvq.probes.codes import Codes

Classifier = Callable[..., dict[str, float]]

data = load_digits()
X, LABELS = data.data.astype(np.float32) / 16, data.target
DIGITS = Codes(X[:1200], LABELS[:1200], X[1200:], LABELS[1200:], 10)


def softmax_classifier(batch_size: int = 128, steps: int = 400, seed: int = 0, lr: float = 0.01) -> SoftmaxClassifier:
    return SoftmaxClassifier(lr=lr, beta_1=0.9, beta_2=0.999, eps=1e-8, batch_size=batch_size, steps=steps, seed=seed)


def logistic_regression(C: float = 1.0, tol: float = 1e-4, max_iter: int = 50) -> LogisticRegressionProbe:
    return LogisticRegressionProbe(C, tol, max_iter)


either = pytest.mark.parametrize("classifier", [softmax_classifier(), logistic_regression()])


@pytest.mark.parametrize(("d", "classes", "batch_size"), [(5, 3, 16), (700, 10, 128), (64, 101, 37)])
def test_steps_are_those_of_an_autograd_loop_on_the_same_batches(d, classes, batch_size):
    rng = np.random.default_rng(0)
    codes, labels, steps = rng.normal(size=(300, d)), rng.integers(0, classes, 300), 40

    generator = torch.Generator().manual_seed(7)
    layer = nn.Linear(d, classes, dtype=torch.float64)
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    epochs = steps * batch_size // 300 + 1
    order = torch.cat([torch.randperm(300, generator=generator) for _ in range(epochs)])
    adam = torch.optim.Adam(layer.parameters(), lr=0.01, betas=(0.9, 0.999), eps=1e-8)
    for batch in order[: steps * batch_size].view(steps, batch_size):
        adam.zero_grad()
        nn.functional.cross_entropy(layer(torch.tensor(codes)[batch]), torch.tensor(labels)[batch]).backward()
        adam.step()

    found = softmax_classifier(batch_size, steps, seed=7).fit(codes, labels, classes)
    np.testing.assert_allclose(found.weight, layer.weight.detach().numpy(), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.bias, layer.bias.detach().numpy(), rtol=1e-7, atol=1e-9)


def test_every_epoch_sees_every_code_once_in_full_batches():
    n, batch_size, steps = 50, 16, 25  # eight epochs, whose borders lie within batches
    rows = torch.arange(n)
    batches = list(softmax_classifier(batch_size, steps)._batches(rows[:, None], rows, n, torch.Generator()))
    assert [len(x) for x, _ in batches] == [batch_size] * steps
    assert all((x[:, 0] == target.argmax(1)).all() for x, target in batches)
    seen = torch.cat([x[:, 0] for x, _ in batches])
    epochs = seen.view(-1, n)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(n))
    assert (epochs[0] != epochs[1]).any()


def test_logits_of_any_size_give_finite_weights():
    codes, labels = np.array([[1e30], [-1e30]], np.float32), np.array([0, 1])
    found = softmax_classifier(batch_size=2, steps=3).fit(codes, labels, 2)
    assert np.isfinite(found.weight).all()


@either
def test_separable_classes_are_separated(classifier: Classifier):
    labels = np.tile(np.arange(3), 100)
    codes = (4 * np.eye(3)[labels] + np.random.default_rng(0).uniform(-1, 1, (300, 3))).astype(np.float32)
    found = classifier(Codes(codes[:150], labels[:150], codes[150:], labels[150:], 3), 1)
    assert found == {"classification_accuracy": 1}


@either
def test_same_settings_same_score(classifier: Classifier):
    first, again = classifier(DIGITS, 1), classifier(DIGITS, 2)
    assert first == again
    assert first["classification_accuracy"] > 0.85


def test_the_score_is_that_of_the_trained_layer():
    classifier = softmax_classifier()
    layer = classifier.fit(DIGITS.train, DIGITS.train_labels, 10)
    right = (layer.predict(DIGITS.test) == DIGITS.test_labels).mean()
    assert classifier(DIGITS, 1)["classification_accuracy"] == right


def test_threads_do_not_change_the_layer():
    alone = softmax_classifier(steps=50).fit(DIGITS.train, DIGITS.train_labels, 10)
    torch.set_num_threads(2)
    shared = softmax_classifier(steps=50).fit(DIGITS.train, DIGITS.train_labels, 10)
    assert torch.get_num_threads() == 2
    np.testing.assert_array_equal(alone.weight, shared.weight)


def test_the_seed_decides_weights_and_batches():
    first, other = (softmax_classifier(steps=1, seed=s).fit(DIGITS.train, DIGITS.train_labels, 10) for s in (0, 1))
    assert (first.weight != other.weight).any()


def test_weights_start_glorot_uniform():
    codes = np.zeros((300, 200), np.float32)  # no gradient for the weights
    weight = softmax_classifier(steps=1).fit(codes, np.arange(300) % 100, 100).weight
    limit = np.sqrt(6 / 300)
    assert weight.shape == (100, 200)
    assert 0.999 * limit < np.abs(weight).max() <= limit
    assert weight.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)


def test_convex_fit_is_scikit_learns_on_standardised_codes():
    mean, std = DIGITS.train.mean(0), np.where(DIGITS.train.std(0) > 0, DIGITS.train.std(0), 1)
    theirs = LogisticRegression(C=1.0, tol=1e-6, max_iter=500).fit((DIGITS.train - mean) / std, DIGITS.train_labels)
    expected = theirs.score((DIGITS.test - mean) / std, DIGITS.test_labels)
    found = logistic_regression(tol=1e-6, max_iter=500)(DIGITS, 1)
    assert found["classification_accuracy"] == pytest.approx(expected, abs=0.002)


def test_convex_fit_does_not_depend_on_the_scale_of_the_codes():
    scale = np.logspace(-3, 3, 64).astype(np.float32)
    scaled = replace(DIGITS, train=DIGITS.train * scale, test=DIGITS.test * scale)
    found, plain = (logistic_regression()(codes, 1)["classification_accuracy"] for codes in (scaled, DIGITS))
    assert found == pytest.approx(plain, abs=0.005)


@either
def test_codes_that_never_vary_and_a_class_never_seen_are_no_error(classifier: Classifier):
    labels = np.tile([0, 2], 50)
    codes = np.stack([labels, np.ones(100)], axis=1)
    assert classifier(Codes(codes, labels, codes, labels, 3), 1) == {"classification_accuracy": 1}


@either
def test_progress_reaches_the_total(classifier: Classifier):
    calls: list[tuple[int, int]] = []
    classifier(DIGITS, 1, lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1][0] == calls[-1][1]


@either
def test_codes_that_are_not_finite_are_an_error(classifier: Classifier):
    broken = DIGITS.test.copy()
    broken[7, 1] = np.nan
    with pytest.raises(ValueError, match="test codes hold NaN or infinity in 1 of 597 rows, first in row 7"):
        classifier(replace(DIGITS, test=broken), 1)


@either
def test_labels_beyond_the_classes_are_an_error(classifier: Classifier):
    with pytest.raises(ValueError, match=r"train labels must lie in 0 \.\. 8 for 9 classes, got 0 \.\. 9"):
        classifier(replace(DIGITS, classes=9), 1)


@either
def test_a_single_class_is_an_error(classifier: Classifier):
    with pytest.raises(ValueError, match=r"train labels hold a single class \(3\)"):
        classifier(replace(DIGITS, train_labels=np.full(1200, 3)), 1)


@either
def test_two_widths_are_an_error(classifier: Classifier):
    with pytest.raises(ValueError, match="train codes have 64 columns and test codes 32"):
        classifier(replace(DIGITS, test=DIGITS.test[:, :32]), 1)


@pytest.mark.parametrize(
    ("make", "setting", "message"),
    [
        (softmax_classifier, {"batch_size": 0}, "probes.classification.batch_size must be at least 1, got 0"),
        (softmax_classifier, {"steps": 0}, "probes.classification.steps must be at least 1, got 0"),
        (softmax_classifier, {"steps": 1.5}, "probes.classification.steps must be a whole number, got 1.5"),
        (softmax_classifier, {"lr": -1.0}, r"probes.classification.lr must be at least 0, got -1\.0"),
        (logistic_regression, {"C": 0.0}, r"probes.classification.C must be positive, got 0\.0"),
        (logistic_regression, {"max_iter": 0}, "probes.classification.max_iter must be at least 1, got 0"),
    ],
)
def test_a_wrong_setting_is_an_error(make, setting, message):
    with pytest.raises(ValueError, match=message):
        make(**setting)
