"""One linear layer and a softmax on latent codes, scored on the test codes (Wu & Flierl, arXiv:1905.11062)."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from softvq.probes.checks import checked_features, checked_labels
from softvq.probes.progress import Progress

CHUNK_BYTES = 2**21  # codes gathered at a time: fits the cache of a core
PROGRESS_STEPS = 500  # steps between two calls of `progress`


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class Classification:
    """A trained linear classifier, logits = weight x + bias on raw codes, and its score as a fraction of 1."""

    accuracy: float  # on the test codes
    weight: np.ndarray  # (classes, d)
    bias: np.ndarray  # (classes,)
    train_loss: float  # mean cross-entropy in nats over the training codes


class SoftmaxClassifier:
    """The released probe: cross-entropy, Adam without decay, raw codes, the weights of the last step.

    A layer this small spends its time in the framework, not in the arithmetic; hence the gradient in closed form.
    """

    def __init__(
        self, lr: float, beta_1: float, beta_2: float, eps: float, batch_size: int, steps: int, seed: int
    ) -> None:
        for name, value in (("batch_size", batch_size), ("steps", steps)):
            if value < 1:
                raise ValueError(f"probes.classification.{name} must be at least 1, got {value}")
        self.lr, self.beta_1, self.beta_2, self.eps = lr, beta_1, beta_2, eps
        self.batch_size, self.steps, self.seed = batch_size, steps, seed

    def __call__(
        self,
        train_features: np.ndarray,
        train_labels: np.ndarray,
        test_features: np.ndarray,
        test_labels: np.ndarray,
        classes: int,
        progress: Progress | None = None,
    ) -> Classification:
        """Trains on the training codes and scores on the test codes.

        Shapes: features (N, d), cast to float32; labels (N,) in 0 .. classes - 1.
        Raises: ValueError: for features that are not finite, labels out of range or of one class, or two widths d.
        """
        train, y_train, test, y_test = _checked(train_features, train_labels, test_features, test_labels, classes)
        rng = np.random.default_rng(self.seed)
        weight, bias = glorot_uniform(train.shape[1], classes, rng), np.zeros(classes, dtype=np.float32)
        with threadpool_limits(1, user_api="blas"):  # a batch is too small to share, and one thread is one result
            self.fit(weight, bias, train, y_train, index_stream(len(train), rng), progress)
        return _scored(weight, bias, train, y_train, test, y_test)

    def fit(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        features: np.ndarray,
        labels: np.ndarray,
        indices: Iterator[np.ndarray],
        progress: Progress | None = None,
    ) -> None:
        """Takes `steps` steps of Adam on the mean cross-entropy of a batch, changing weight and bias in place.

        Shapes: weight (classes, d); bias (classes,); features (N, d); labels (N,). `indices` yields pieces of any
        length of the order in which rows are seen; every `batch_size` of them are a batch.
        """
        (C, d), B = weight.shape, self.batch_size
        dtype = weight.dtype
        theta = np.concatenate([weight.ravel(), bias])  # all parameters in one vector: Adam is a few calls, not twice
        W, b = theta[: C * d].reshape(C, d), theta[C * d :, None]
        grad, m, v = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
        grad_W, grad_b = grad[: C * d].reshape(C, d), grad[C * d :]
        P = np.empty((C, B), dtype)  # classes first: each reduction over classes then runs along whole rows
        row = np.empty((1, B), dtype)
        columns = np.arange(B)
        step = 0
        for X_chunk, y_chunk in self._chunks(features, labels, indices):
            for X, y in zip(X_chunk.reshape(-1, B, d), y_chunk.reshape(-1, B), strict=True):
                # P = softmax(W X^T + b), then its distance to the one-hot classes, over B
                np.matmul(W, X.T, out=P)
                P += b
                P -= np.maximum.reduce(P, axis=0, out=row, keepdims=True)
                np.exp(P, out=P)
                P /= np.add.reduce(P, axis=0, out=row, keepdims=True)
                P[y, columns] -= 1
                P /= B
                # gradient of the mean cross-entropy
                np.matmul(P, X, out=grad_W)
                np.add.reduce(P, axis=1, out=grad_b)
                # Adam; m and v without their factors (1 - beta), which `rate` and `eps` take back
                step += 1
                m *= self.beta_1
                m += grad
                v *= self.beta_2
                np.multiply(grad, grad, out=grad)
                v += grad
                scale = np.sqrt((1 - self.beta_2) / (1 - self.beta_2**step))  # sqrt(v) * scale = sqrt(v-hat)
                rate = self.lr * (1 - self.beta_1) / (1 - self.beta_1**step) / scale
                np.sqrt(v, out=grad)
                grad += dtype.type(self.eps / scale)
                np.divide(m, grad, out=grad)
                grad *= dtype.type(rate)
                theta -= grad
                if progress and (step % PROGRESS_STEPS == 0 or step == self.steps):
                    progress(step, self.steps)
        weight[:], bias[:] = W, theta[C * d :]

    def _chunks(
        self, features: np.ndarray, labels: np.ndarray, indices: Iterator[np.ndarray]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Whole batches of rows in the order of `indices`, some at a time, in a buffer that is used again."""
        B, left = self.batch_size, self.steps
        batches = max(1, CHUNK_BYTES // (features[0].nbytes * B))
        X = np.empty((batches * B, features.shape[1]), features.dtype)
        waiting = np.empty(0, np.int64)
        while left:
            n = min(batches, left) * B
            while len(waiting) < n:
                waiting = np.concatenate([waiting, next(indices)])
            index, waiting = waiting[:n], waiting[n:]
            # one call for many batches; "clip" as the default mode would copy once more
            np.take(features, index, axis=0, out=X[:n], mode="clip")
            yield X[:n], labels[index]
            left -= n // B


class LogisticRegressionProbe:
    """Multinomial logistic regression fitted by L-BFGS on standardised codes: the quick stand-in for the paper's probe.

    Codes are standardised by the training codes' mean and deviation, so that one C fits every bottleneck's scale.
    """

    def __init__(self, C: float, tol: float, max_iter: int) -> None:
        self.C, self.tol, self.max_iter = C, tol, max_iter

    def __call__(
        self,
        train_features: np.ndarray,
        train_labels: np.ndarray,
        test_features: np.ndarray,
        test_labels: np.ndarray,
        classes: int,
        progress: Progress | None = None,
    ) -> Classification:
        """Trains on the training codes and scores on the test codes; shapes and errors as for SoftmaxClassifier."""
        train, y_train, test, y_test = _checked(train_features, train_labels, test_features, test_labels, classes)
        mean, std = train.mean(axis=0), train.std(axis=0)
        std[std == 0] = 1  # a constant code stays 0
        model = LogisticRegression(C=self.C, tol=self.tol, max_iter=self.max_iter)
        with warnings.catch_warnings():
            # The step budget is part of the protocol: stopping at it is no error.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit((train - mean) / std, y_train)
        if progress:
            progress(1, 1)
        # Undo the standardisation; a class that the training codes lack can never win.
        weight, bias = np.zeros((classes, train.shape[1]), np.float32), np.full(classes, -np.inf, np.float32)
        coef, intercept = model.coef_, model.intercept_
        if len(model.classes_) == 2:  # scikit-learn keeps one row for two classes
            coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
        weight[model.classes_] = coef / std
        bias[model.classes_] = intercept - coef @ (mean / std)
        return _scored(weight, bias, train, y_train, test, y_test)


def glorot_uniform(d: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Weights (classes, d), uniform in +-sqrt(6 / (d + classes)) (Glorot & Bengio, 2010, Eq. 16)."""
    limit = np.sqrt(6 / (d + classes))
    return rng.uniform(-limit, limit, (classes, d)).astype(np.float32)


def index_stream(n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Permutations of 0 .. n - 1 without end, one an epoch; batches are cut across their borders, so all are full."""
    while True:
        yield rng.permutation(n)


def _scored(
    weight: np.ndarray, bias: np.ndarray, train: np.ndarray, y_train: np.ndarray, test: np.ndarray, y_test: np.ndarray
) -> Classification:
    logits = train @ weight.T + bias  # (N, classes)
    logits -= logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits).sum(axis=1, dtype=np.float64))
    train_loss = float((log_sum - logits[np.arange(len(logits)), y_train]).mean())
    accuracy = float(((test @ weight.T + bias).argmax(axis=1) == y_test).mean())
    return Classification(accuracy, weight, bias, train_loss)


def _checked(
    train: np.ndarray, y_train: np.ndarray, test: np.ndarray, y_test: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    train, test = checked_features(train, "train features"), checked_features(test, "test features")
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"train features have {train.shape[1]} columns and test features {test.shape[1]}")
    y_train = checked_labels(y_train, len(train), "train labels")
    y_test = checked_labels(y_test, len(test), "test labels")
    for name, y in (("train labels", y_train), ("test labels", y_test)):
        if y.min() < 0 or y.max() >= classes:
            raise ValueError(f"{name} must lie in 0 .. {classes - 1} for {classes} classes, got {y.min()} .. {y.max()}")
    return train, y_train.astype(np.int64), test, y_test.astype(np.int64)
