"""Errors before numbers: what every probe asks of its codes and labels."""

import numpy as np


def checked_features(features: np.ndarray, name: str) -> np.ndarray:
    """The codes as contiguous float32 (N, d); ValueError if they have another rank, are empty or not all finite."""
    features = np.asarray(features)
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"{name} must be an array of shape (N, d) with N, d > 0, got {features.shape}")
    features = np.ascontiguousarray(features, dtype=np.float32)
    # The sum of squares is finite exactly if all of them are, and needs no mask of the size of the codes. Beyond the
    # limit squared distances would leave the range of float32.
    squares = float(np.einsum("nd,nd->", features, features, dtype=np.float64))
    if not squares < 1e36:
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        found = (
            f"NaN or infinity in {len(bad)} of {len(features)} rows, first in row {bad[0]}"
            if len(bad)
            else "values beyond 1e15"
        )
        raise ValueError(
            f"{name} hold {found}: the training has diverged; "
            "try a lower learning rate or full precision (trainer.precision=32)"
        )
    return features


def checked_labels(labels: np.ndarray, n: int, name: str) -> np.ndarray:
    """The classes (N,); ValueError if they are not one for each of n codes or all the same."""
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise ValueError(f"{name} must have one entry for each of the {n} rows of features, got shape {labels.shape}")
    if (labels == labels[0]).all():
        raise ValueError(
            f"{name} hold a single class ({labels[0]}), so there is nothing to tell apart; "
            "check the data's labels, or probe more images (probes.train_limit, probes.test_limit)"
        )
    return labels
