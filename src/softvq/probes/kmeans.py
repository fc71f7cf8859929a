"""Several K-means starts at once: k-means++ and Lloyd's iterations, written as few large NumPy calls.

k-means++ is Arthur & Vassilvitskii (2007), with 2 + ln K candidates a centre, of which the best is kept; iterations
stop by scikit-learn's rule. From the same centres the clusters are scikit-learn's, up to float32 rounding. What makes
it faster: the codes are read once for all starts, products have the size that BLAS is fast at, and Python, which holds
the interpreter's lock, has next to nothing to do, so that groups of starts run side by side in threads.

Letters: S starts, K clusters, N codes, d their width.
"""

from collections.abc import Sequence

import numpy as np

from softvq.probes.blas import small_transposed

CHUNK = 120_000  # numbers of the codes handled by one call: they stay in the core's cache between two uses


def kmeans(
    blocks: np.ndarray, N: int, K: int, rngs: Sequence[np.random.Generator], max_iter: int, tol: float
) -> tuple[np.ndarray, np.ndarray]:
    """One start of K-means for each generator.

    Shapes: blocks (blocks, rows, d + 1), the N codes from `in_blocks`, float32 or float64. Returns each code's cluster
    (S, N), int32, and the inertia (S,), float64.
    Units: tol is relative to the mean variance of the d coordinates, and bounds the squared shift of all centres
    together; inertia is in squared latent units.
    """
    X = blocks.reshape(-1, blocks.shape[-1])[:N, :-1]
    centres = lloyd(blocks, N, plus_plus(X, K, rngs), max_iter, tol * float(X.var(axis=0).mean()))
    return assign(X, centres)


def in_blocks(features: np.ndarray, K: int) -> np.ndarray:
    """The codes, centred for the sake of float32, in blocks of a size that BLAS is fast at.

    The last column is 1: with it the products also add -|c|^2 / 2 to a score and count a cluster's codes. The last
    block is filled up with rows of zeros, which add nothing.

    Shapes: features (N, d). Returns (blocks, rows, d + 1) of the same type.
    """
    N, d = features.shape
    rows = small_transposed(d + 1, K)
    blocks = np.zeros((-(-N // rows), rows, d + 1), features.dtype)
    X = blocks.reshape(-1, d + 1)[:N]
    np.subtract(features, features.mean(axis=0, dtype=np.float64).astype(features.dtype), out=X[:, :d])
    X[:, d] = 1
    return blocks


def plus_plus(X: np.ndarray, K: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """First centres: codes drawn in proportion to their squared distance to the centres so far.

    Shapes: X (N, d). Returns (S, K, d), a start for each generator.
    """
    S, N, candidates = len(rngs), len(X), 2 + int(np.log(K))
    norms = np.einsum("nd,nd->n", X, X)
    every = np.arange(S)

    def distances(rows: np.ndarray) -> np.ndarray:
        squared = X[rows] @ X.T  # (rows, N)
        squared *= -2
        squared += norms
        squared += norms[rows, None]
        return np.maximum(squared, 0, out=squared)  # rounding may leave a code's distance to itself below 0

    chosen = np.empty((S, K), np.int64)
    chosen[:, 0] = [rng.integers(N) for rng in rngs]
    closest = distances(chosen[:, 0])  # (S, N)
    for k in range(1, K):
        drawn = np.empty((S, candidates), np.int64)
        for s, rng in enumerate(rngs):
            cumulative = np.cumsum(closest[s], dtype=np.float64)
            drawn[s] = np.searchsorted(cumulative, rng.random(candidates) * cumulative[-1])
        np.minimum(drawn, N - 1, out=drawn)
        reached = distances(drawn.ravel()).reshape(S, candidates, N)
        np.minimum(reached, closest[:, None], out=reached)
        best = reached.sum(axis=2).argmin(axis=1)  # (S,)
        chosen[:, k], closest = drawn[every, best], reached[every, best]
    return X[chosen]


def lloyd(blocks: np.ndarray, N: int, centres: np.ndarray, max_iter: int, tol: float) -> np.ndarray:
    """The centres after Lloyd's iterations; a start leaves when its centres move by no more than `tol`.

    Shapes: blocks (blocks, rows, d + 1) from `in_blocks`; centres (S, K, d). Returns (S, K, d).
    Units: tol is the squared shift of all centres of a start together, in squared latent units.
    """
    X = blocks.reshape(-1, blocks.shape[-1])[:N, :-1]
    final = centres.copy()
    running = np.arange(len(centres))
    for _ in range(max_iter):
        sums = _cluster_sums(blocks, centres)  # (S, K, d + 1)
        _fill_empty(X, centres, sums)
        moved = sums[:, :, :-1] / sums[:, :, -1:]
        shift = np.square(moved - centres).sum(axis=(1, 2))
        final[running] = moved
        running, centres = running[shift > tol], moved[shift > tol]
        if not len(running):
            break
    return final


def assign(X: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of each code, and the sum of their squared distances, from the differences.

    Shapes: X (N, d); centres (S, K, d). Returns (S, N), int32, and (S,), float64, in squared latent units.
    """
    clusters, inertia = np.empty((len(centres), len(X)), np.int32), np.zeros(len(centres))
    rows = max(1, CHUNK // X.shape[1])
    for s, own in enumerate(centres):
        half = np.square(own).sum(axis=1) / 2
        for start in range(0, len(X), rows):
            chunk = X[start : start + rows]
            nearest = (chunk @ own.T - half).argmax(axis=1)
            residual = chunk - own[nearest]
            inertia[s] += np.vdot(residual, residual)
            clusters[s, start : start + rows] = nearest
    return clusters, inertia


def _cluster_sums(blocks: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The sum of the codes nearest to each centre and, last, their number: (S, K, d + 1)."""
    S, K, d = centres.shape
    scored = np.concatenate([centres, -np.square(centres).sum(axis=2, keepdims=True) / 2], axis=2)[:, None]
    sums = np.zeros((S, K, d + 1), blocks.dtype)
    step = max(1, CHUNK // blocks[0].size)
    for start in range(0, len(blocks), step):
        chunk = blocks[start : start + step]
        scores = scored @ chunk.transpose(0, 2, 1)  # (S, blocks, K, rows), x c - |c|^2 / 2: highest where nearest
        nearest = np.equal(scores, scores.max(axis=2, keepdims=True), out=scores)  # one-hot in K, but for ties
        part = (nearest @ chunk).sum(axis=1)
        codes = chunk[:, :, -1].sum()
        for s in np.flatnonzero(part[:, :, -1].sum(axis=1) > codes):  # a tie goes to the first centre
            first = nearest[s].argmax(axis=1)[:, None] == np.arange(K)[:, None]
            part[s] = (first.astype(chunk.dtype) @ chunk).sum(axis=0)
        sums += part
    return sums


def _fill_empty(X: np.ndarray, centres: np.ndarray, sums: np.ndarray) -> None:
    """Gives each empty cluster the code farthest from its own centre, of those whose cluster keeps another; in place.

    scikit-learn takes the farthest, whether or not its cluster is empty then.
    """
    for s in np.flatnonzero((sums[:, :, -1] == 0).any(axis=1)):
        clusters = assign(X, centres[s : s + 1])[0][0]
        distance = np.square(X - centres[s, clusters]).sum(axis=1)
        farthest = iter(np.argsort(-distance, kind="stable")[: np.count_nonzero(distance)])
        for cluster in np.flatnonzero(sums[s, :, -1] == 0):
            code = next((code for code in farthest if sums[s, clusters[code], -1] > 1), None)
            if code is None:  # fewer distinct codes than clusters: the centre stays where it is
                sums[s, cluster] = np.append(centres[s, cluster], 1)
            else:
                sums[s, clusters[code]] -= np.append(X[code], 1)
                sums[s, cluster] = np.append(X[code], 1)
