"""What a probe reads: the latent codes of a data set and their labels."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Codes:
    """Latent codes of both parts of a data set and their labels, numbers from 0 to classes - 1.

    Shapes: train (N, d), train_labels (N,), test (n, d), test_labels (n,).
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: int

    def limited(self, train_limit: int | None, test_limit: int | None) -> "Codes":
        """The first codes of each part; None takes all."""
        return replace(
            self,
            train=self.train[:train_limit],
            train_labels=self.train_labels[:train_limit],
            test=self.test[:test_limit],
            test_labels=self.test_labels[:test_limit],
        )
