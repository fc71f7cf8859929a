"""Scores of clusters and predictions against the labels, as fractions of 1.

The libraries behind them take seconds to load, which a run's first step need not wait for: they are loaded when a
score is wanted.
"""

import numpy as np
from numpy.typing import ArrayLike


def accuracy(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Share of the predictions that are the label.

    Shapes: both (N,), integers from 0 to classes - 1.
    """
    import torch
    from torchmetrics.classification import MulticlassAccuracy

    metric = MulticlassAccuracy(classes, average="micro").set_dtype(torch.float64)
    metric.update(torch.from_numpy(predicted), torch.from_numpy(labels))
    return metric.compute().item()


def clustering_accuracy(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Share of points whose cluster stands for their class, under the best one-to-one match of clusters and classes.

    The match is the Hungarian algorithm's; of more clusters than classes (or fewer), those left over count as wrong.
    Example: labels 0 0 1 1 and clusters 5 5 5 3 match 5 with 0 and 3 with 1: three of four points, 0.75.
    """
    from scipy.optimize import linear_sum_assignment

    classes, label = np.unique(np.asarray(labels), return_inverse=True)
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    counts = np.zeros((len(names), len(classes)), dtype=np.int64)  # contingency table
    np.add.at(counts, (cluster, label), 1)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(label))


def nmi(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Normalised mutual information 2 I(L; C) / (H(L) + H(C)), the paper's form; 1 for two constant labelings."""
    import torch
    from torchmetrics.functional.clustering import normalized_mutual_info_score

    label, cluster = np.asarray(labels), np.asarray(clusters)
    if len(np.unique(label)) == len(np.unique(cluster)) == 1:  # 0 / 0, which torchmetrics takes for 0
        return 1.0
    with torch.sparse.check_sparse_tensor_invariants(False):  # unsaid, torch warns of the contingency table's
        score = normalized_mutual_info_score(torch.from_numpy(cluster), torch.from_numpy(label), "arithmetic")
    return min(1.0, max(0.0, score.item()))  # float32 rounds past either end
