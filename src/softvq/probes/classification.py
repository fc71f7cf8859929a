"""One linear layer and a softmax on latent codes, scored on the test codes (Wu & Flierl, arXiv:1905.11062).

Torch and scikit-learn, which take seconds to load, are imported when a probe runs: its settings can be checked without.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from softvq.checks import at_least
from softvq.probes.checks import checked_features, checked_labels
from softvq.probes.codes import Codes
from softvq.probes.progress import Progress
from softvq.probes.scores import accuracy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

GATHERED_STEPS = 16  # whose batches are gathered by one call
PROGRESS_STEPS = 500  # steps between two calls of `progress`


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class LinearClassifier:
    """A trained layer, logits = weight x + bias.

    Shapes: weight (classes, d), bias (classes,).
    """

    weight: np.ndarray
    bias: np.ndarray

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The most probable class (N,) of each code (N, d)."""
        return (features @ self.weight.T + self.bias).argmax(axis=1)


class SoftmaxClassifier:
    """The released probe: cross-entropy, Adam without decay, raw codes, the weights of the last step.

    Glorot-uniform weights, zero bias. Batches are cut from one permutation of the training codes after another, across
    their borders, as the released `shuffle().repeat().batch()` did, so every batch is full.
    """

    def __init__(
        self, lr: float, beta_1: float, beta_2: float, eps: float, batch_size: int, steps: int, seed: int
    ) -> None:
        at_least("probes.classification.lr", lr, 0)
        at_least("probes.classification.batch_size", batch_size, 1, whole=True)
        at_least("probes.classification.steps", steps, 1, whole=True)
        at_least("probes.seed", seed, 0, whole=True)
        self.lr, self.beta_1, self.beta_2, self.eps = lr, beta_1, beta_2, eps
        self.batch_size, self.steps, self.seed = batch_size, steps, seed

    def __call__(self, codes: Codes, jobs: int, progress: Progress | None = None) -> dict[str, float]:
        """Trains on the training codes and scores on the test codes.

        Raises:
            ValueError: for codes that are not finite, labels out of range or of one class, or two widths d.
        """
        train, train_labels, test, test_labels = _checked(codes)
        layer = self.fit(train, train_labels, codes.classes, progress)
        return {"classification_accuracy": accuracy(test_labels, layer.predict(test), codes.classes)}

    def fit(
        self, features: np.ndarray, labels: np.ndarray, classes: int, progress: Progress | None = None
    ) -> LinearClassifier:
        """The layer after `steps` steps of Adam (Kingma & Ba, 2015) on the mean cross-entropy of a batch.

        A layer this small spends its time in the framework, not in the arithmetic: the gradient is written out,
        (softmax(logits) - one-hot)^T X, and all parameters are one vector. In the precision of the features.

        Shapes: features (N, d); labels (N,) in 0 .. classes - 1.
        """
        import torch

        X, y = torch.from_numpy(np.require(features, requirements="W")), torch.from_numpy(labels)
        d = X.shape[1]
        theta, gradient, m, v = (torch.zeros(classes * (d + 1), dtype=X.dtype) for _ in range(4))
        weight, bias = theta[: classes * d].view(classes, d), theta[classes * d :].view(classes, 1)
        weight_gradient, bias_gradient = gradient[: classes * d].view(classes, d), gradient[classes * d :].view(-1, 1)
        generator = torch.Generator().manual_seed(self.seed)
        torch.nn.init.xavier_uniform_(weight, generator=generator)
        with torch.inference_mode(), _one_thread():
            for step, (x, target) in enumerate(self._batches(X, y, classes, generator), start=1):
                # Classes first: a reduction over them adds whole rows.
                error = torch.addmm(bias, weight, x.T).softmax(0).sub_(target.T).div_(self.batch_size)
                torch.mm(error, x, out=weight_gradient)
                torch.sum(error, 1, keepdim=True, out=bias_gradient)
                m.lerp_(gradient, 1 - self.beta_1)
                v.mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
                scale = v.div(1 - self.beta_2**step).sqrt_().add_(self.eps)
                theta.addcdiv_(m, scale, value=-self.lr / (1 - self.beta_1**step))
                if progress and (step % PROGRESS_STEPS == 0 or step == self.steps):
                    progress(step, self.steps)
        return LinearClassifier(weight.numpy(), bias[:, 0].numpy())

    def _batches(
        self, X: "Tensor", y: "Tensor", classes: int, generator: "torch.Generator"
    ) -> Iterator[tuple["Tensor", "Tensor"]]:
        """Codes (batch_size, d) and one-hot labels (batch_size, classes) of each step."""
        import torch
        from torch.nn.functional import one_hot

        epochs = -(-self.steps * self.batch_size // len(X))
        order = torch.cat([torch.randperm(len(X), generator=generator) for _ in range(epochs)])
        for rows in order[: self.steps * self.batch_size].view(self.steps, self.batch_size).split(GATHERED_STEPS):
            yield from zip(X[rows], one_hot(y[rows], classes).to(X.dtype), strict=True)


class LogisticRegressionProbe:
    """scikit-learn's logistic regression on standardised codes: the quick stand-in for the paper's probe.

    Codes are standardised by the training codes' mean and deviation, so that one C fits every bottleneck's scale. It
    has no randomness, hence no seed. Stopping at `max_iter` is no error: the iterations are part of the protocol.
    """

    def __init__(self, C: float, tol: float, max_iter: int) -> None:
        at_least("probes.classification.C", C, 0)
        if C == 0:
            raise ValueError(f"probes.classification.C must be positive, got {C}")
        at_least("probes.classification.tol", tol, 0)
        at_least("probes.classification.max_iter", max_iter, 1, whole=True)
        self.C, self.tol, self.max_iter = C, tol, max_iter

    def __call__(self, codes: Codes, jobs: int, progress: Progress | None = None) -> dict[str, float]:
        """Trains on the training codes and scores on the test codes; errors as for SoftmaxClassifier."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        train, train_labels, test, test_labels = _checked(codes)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=self.C, tol=self.tol, max_iter=self.max_iter))
        with threadpool_limits(1), warnings.catch_warnings():  # one thread is one result
            warnings.simplefilter("ignore", ConvergenceWarning)
            predicted = model.fit(train, train_labels).predict(test)
        if progress:
            progress(self.max_iter, self.max_iter)
        return {"classification_accuracy": accuracy(test_labels, predicted, codes.classes)}


@contextmanager
def _one_thread() -> Iterator[None]:
    """A batch is too small to share between threads, and one thread is one result."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _checked(codes: Codes) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    train, test = checked_features(codes.train, "train codes"), checked_features(codes.test, "test codes")
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"train codes have {train.shape[1]} columns and test codes {test.shape[1]}")
    train_labels = checked_labels(codes.train_labels, len(train), "train labels")
    test_labels = checked_labels(codes.test_labels, len(test), "test labels")
    for name, y in (("train labels", train_labels), ("test labels", test_labels)):
        if y.min() < 0 or y.max() >= codes.classes:
            raise ValueError(
                f"{name} must lie in 0 .. {codes.classes - 1} for {codes.classes} classes, got {y.min()} .. {y.max()}"
            )
    return train, train_labels.astype(np.int64), test, test_labels.astype(np.int64)
