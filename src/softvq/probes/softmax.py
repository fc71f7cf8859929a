"""Cross-entropy of one linear layer and a softmax, with its gradient in closed form: (P - Y)^T X, no autograd."""

import numpy as np

from softvq.probes.blas import even_blocks, small_transposed, small_width


class SoftmaxCrossEntropy:
    """Cross-entropy and gradient for batches of one shape, in buffers that are used again; sums over the batch.

    P = softmax(X W^T + b) is the predicted and Y the one-hot true distribution of a batch X. Classes come first in
    memory, (classes, rows): a reduction over classes then adds whole rows instead of ten numbers at a time.
    """

    def __init__(self, rows: int, d: int, classes: int, dtype: np.dtype) -> None:
        self.P = np.empty((classes, rows), dtype)
        self.row = np.empty((1, rows), dtype)
        self.offsets = np.arange(rows)
        # Both products in blocks of the size that BLAS is fast at.
        self.row_blocks = [(block, self.P[:, block]) for block in even_blocks(rows, small_transposed(d, classes))]
        self.column_blocks = even_blocks(d, small_width(rows, classes))

    def gradient(
        self, W: np.ndarray, b: np.ndarray, X: np.ndarray, y: np.ndarray, grad_W: np.ndarray, grad_b: np.ndarray
    ) -> None:
        """Writes the gradient to grad_W and grad_b.

        Shapes: W and grad_W (classes, d); b and grad_b (classes,); X (rows, d); y (rows,) integers.
        """
        self._logits(W, b, X)
        self._softmax()
        self._backward(X, self._target(y), grad_W, grad_b)

    def loss_and_gradient(
        self, W: np.ndarray, b: np.ndarray, X: np.ndarray, y: np.ndarray, grad_W: np.ndarray, grad_b: np.ndarray
    ) -> float:
        """As `gradient`, and returns the cross-entropy in nats."""
        self._logits(W, b, X)
        target = self._target(y)
        logits = self.P.reshape(-1)[target].sum(dtype=np.float64)
        self._softmax()
        self._backward(X, target, grad_W, grad_b)
        return float(np.log(self.row).sum(dtype=np.float64) - logits)

    def _logits(self, W: np.ndarray, b: np.ndarray, X: np.ndarray) -> None:
        for block, out in self.row_blocks:
            np.matmul(W, X[block].T, out=out)
        self.P += b[:, None]
        # the largest logit becomes 0, so that exp cannot overflow
        self.P -= np.maximum.reduce(self.P, axis=0, out=self.row, keepdims=True)

    def _softmax(self) -> None:
        np.exp(self.P, out=self.P)
        self.P /= np.add.reduce(self.P, axis=0, out=self.row, keepdims=True)

    def _target(self, y: np.ndarray) -> np.ndarray:
        """Where the true classes lie in P, as one flat index: faster than a pair of them."""
        return y * len(self.offsets) + self.offsets

    def _backward(self, X: np.ndarray, target: np.ndarray, grad_W: np.ndarray, grad_b: np.ndarray) -> None:
        self.P.reshape(-1)[target] -= 1  # P - Y
        for block in self.column_blocks:
            np.matmul(self.P, X[:, block], out=grad_W[:, block])
        np.add.reduce(self.P, axis=1, out=grad_b)
