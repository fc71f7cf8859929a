"""One linear layer and a softmax on latent codes, scored on the test codes (Wu & Flierl, arXiv:1905.11062)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from softvq.checks import at_least
from softvq.probes.blas import even_blocks
from softvq.probes.checks import checked_features, checked_labels
from softvq.probes.progress import Progress
from softvq.probes.softmax import SoftmaxCrossEntropy

CHUNK_BYTES = 2**21  # codes gathered by one call: more would fall out of the core's cache before they are used
TILE = 512  # codes whose gradient is taken at a time when all of them are summed
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
    Glorot-uniform weights, zero bias. Batches are cut from one permutation of the training codes after another, across
    their borders, as the released `shuffle().repeat().batch()` did, so every batch is full.
    """

    def __init__(
        self, lr: float, beta_1: float, beta_2: float, eps: float, batch_size: int, steps: int, seed: int
    ) -> None:
        at_least("probes.classification.batch_size", batch_size, 1)
        at_least("probes.classification.steps", steps, 1)
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
            self.fit(weight, bias, train, y_train, permutations(len(train), rng), progress)
            return _scored(weight, bias, train, y_train, test, y_test)

    def fit(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        features: np.ndarray,
        labels: np.ndarray,
        order: Iterator[np.ndarray],
        progress: Progress | None = None,
    ) -> None:
        """Takes `steps` steps of Adam on the mean cross-entropy of a batch, changing weight and bias in place.

        Shapes: weight (classes, d); bias (classes,); features (N, d); labels (N,) integers. `order` yields the rows to
        see, in pieces of any length; every `batch_size` of them are a batch.
        """
        classes, d = weight.shape
        cross_entropy = SoftmaxCrossEntropy(self.batch_size, d, classes, weight.dtype)
        # All parameters in one vector: half as many calls for Adam.
        theta = np.concatenate([weight.ravel(), bias])
        gradient, m, v = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
        W, b = theta[: weight.size].reshape(classes, d), theta[weight.size :]
        grad_W, grad_b = gradient[: weight.size].reshape(classes, d), gradient[weight.size :]
        for step, (X, y) in enumerate(self._batches(features, labels, order), start=1):
            cross_entropy.gradient(W, b, X, y, grad_W, grad_b)
            gradient *= 1 / self.batch_size
            # Adam in place. m and v are kept without their factors (1 - beta); `rate` and `scale` put these back.
            m *= self.beta_1
            m += gradient
            v *= self.beta_2
            v += np.multiply(gradient, gradient, out=gradient)
            scale = ((1 - self.beta_2) / (1 - self.beta_2**step)) ** 0.5  # scale * sqrt(v) is Adam's sqrt(v-hat)
            rate = self.lr * (1 - self.beta_1) / (1 - self.beta_1**step) / scale
            np.sqrt(v, out=gradient)
            gradient += self.eps / scale
            np.divide(m, gradient, out=gradient)
            gradient *= rate
            theta -= gradient
            if progress and (step % PROGRESS_STEPS == 0 or step == self.steps):
                progress(step, self.steps)
        weight[:], bias[:] = W, b

    def _batches(
        self, features: np.ndarray, labels: np.ndarray, order: Iterator[np.ndarray]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches of all steps, gathered several at a time into one buffer that is used again."""
        B, d = self.batch_size, features.shape[1]
        X = np.empty((max(1, CHUNK_BYTES // (B * d * features.itemsize)), B, d), features.dtype)
        waiting = np.empty(0, np.int64)
        for start in range(0, self.steps, len(X)):
            chunk = X[: self.steps - start]
            while len(waiting) < len(chunk) * B:
                waiting = np.concatenate([waiting, next(order)])
            index, waiting = waiting[: len(chunk) * B].reshape(-1, B), waiting[len(chunk) * B :]
            np.take(features, index, axis=0, out=chunk, mode="clip")  # the default mode would copy once more
            yield from zip(chunk, labels[index], strict=True)


class LogisticRegressionProbe:
    """Multinomial logistic regression fitted by L-BFGS on standardised codes: the quick stand-in for the paper's probe.

    Minimises the mean cross-entropy + |W|^2 / (2 C N), scikit-learn's objective, with its solver's settings, but by
    a gradient that needs a fraction of its time. Codes are standardised by the training codes' mean and deviation, so
    that one C fits every bottleneck's scale. There is no randomness in it, hence no seed.
    """

    def __init__(self, C: float, tol: float, max_iter: int) -> None:
        if C <= 0:
            raise ValueError(f"probes.classification.C must be positive, got {C}")
        at_least("probes.classification.max_iter", max_iter, 1)
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
        with threadpool_limits(1, user_api="blas"):
            mean, std = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
            std[std == 0] = 1  # a constant code stays 0
            standardised = train - mean.astype(np.float32)
            standardised /= std.astype(np.float32)
            W, b = self.fit(standardised, y_train, classes, progress)
            W /= std
            b -= W @ mean
            return _scored(W.astype(np.float32), b.astype(np.float32), train, y_train, test, y_test)

    def fit(
        self, features: np.ndarray, labels: np.ndarray, classes: int, progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The weight (classes, d) and bias (classes,) in float64 after at most `max_iter` iterations, from zero.

        Stopping at `max_iter` is no error: the iterations are part of the protocol.
        """
        n, d = features.shape
        tiles = even_blocks(n, TILE)
        cross_entropy = {
            rows: SoftmaxCrossEntropy(rows, d, classes, features.dtype)
            for rows in {tile.stop - tile.start for tile in tiles}
        }
        grad_W, grad_b = np.empty((classes, d), features.dtype), np.empty(classes, features.dtype)

        def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
            W = theta[: classes * d].reshape(classes, d)
            W_, b_ = W.astype(features.dtype), theta[classes * d :].astype(features.dtype)
            loss, gradient = (W * W).sum() / (2 * self.C), np.zeros_like(theta)
            gradient[: classes * d] = W.ravel() / self.C
            for tile in tiles:
                X, y = features[tile], labels[tile]
                loss += cross_entropy[len(X)].loss_and_gradient(W_, b_, X, y, grad_W, grad_b)
                gradient[: classes * d] += grad_W.ravel()
                gradient[classes * d :] += grad_b
            return loss / n, gradient / n

        done = 0

        def report(_: np.ndarray) -> None:
            nonlocal done
            done += 1
            if progress and done < self.max_iter:
                progress(done, self.max_iter)

        theta = minimize(
            objective,
            np.zeros(classes * (d + 1)),
            method="L-BFGS-B",
            jac=True,
            callback=report,
            # ftol as in scikit-learn: one gtol decides
            options={"maxiter": self.max_iter, "gtol": self.tol, "ftol": 64 * np.finfo(np.float64).eps},
        ).x
        if progress:
            progress(self.max_iter, self.max_iter)
        return theta[: classes * d].reshape(classes, d), theta[classes * d :]


def glorot_uniform(d: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Weights (classes, d), uniform in +-sqrt(6 / (d + classes)) (Glorot & Bengio, 2010, Eq. 16)."""
    limit = np.sqrt(6 / (d + classes))
    return rng.uniform(-limit, limit, (classes, d)).astype(np.float32)


def permutations(n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Permutations of 0 .. n - 1 without end, one an epoch."""
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
