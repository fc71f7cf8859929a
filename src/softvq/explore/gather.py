"""What the page shows of a run: a map of its test codes, its clusters, its codewords, and the images behind them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from softvq.console import counted
from softvq.data.dataset import ImageArrays
from softvq.data.module import ImageBatches
from softvq.probes.decoded_images import decoded_codewords, reconstructed
from softvq.probes.figures import tsne_points
from softvq.probes.scores import clustering_accuracy
from softvq.run.load import FinishedRun
from softvq.run.summary import chosen_words
from softvq.training.autoencoder import Autoencoder

BATCH = 500
STARTS = 10  # of K-means: enough to look at
NEAREST = 6  # test images shown beside a codeword
CODEWORDS = 64  # shown at most, the most used first


@dataclass(frozen=True)
class Codeword:
    """One codeword, decoded, with the test images that are nearest to it among those that chose it.

    Attributes:
        number: its row in the codebook.
        uses: how often test codes choose it.
        decoded: uint8 (H, W, C): what the decoder makes of it, at every position of the code.
        nearest: numbers of test images.
    """

    number: int
    uses: int
    decoded: np.ndarray
    nearest: list[int]


@dataclass(frozen=True)
class Explored:
    """What is known of one run.

    Shapes, n test images, m of them on the map: clusters (n,); embedding (m, 2); reconstructions uint8 (m, H, W, C);
    index (n, M), or (n, M * parts) of a code that is cut into parts, or None.

    Attributes:
        accuracy: share of the test images in the cluster that bears their class's number; None without labels.
    """

    title: str
    clusters: np.ndarray
    accuracy: float | None
    embedding: np.ndarray
    reconstructions: np.ndarray
    index: np.ndarray | None
    codewords: list[Codeword]
    K: int


@torch.inference_mode()
def explore(run: FinishedRun, arrays: ImageArrays, shown: np.ndarray, device: torch.device) -> Explored:
    """Encodes the test images and arranges what came out.

    Args:
        run: whose model looks at them.
        arrays: the data; labels are only coloured, nothing is learned from them.
        shown: numbers (m,) of the test images on the map.
        device: of the model.
    """
    model = run.model().to(device)
    z_e, index = _codes(model, arrays.test_images)
    clusters = max(2, arrays.info.classes or 10)
    with threadpool_limits(1, user_api="blas"):
        found = KMeans(min(clusters, len(z_e)), n_init=STARTS, random_state=0).fit(z_e).labels_
    labels, accuracy = arrays.test_labels, None
    if labels is not None:
        found, accuracy = named_by_class(found, labels), clustering_accuracy(labels, found)
    images = ImageBatches(arrays.test_images, BATCH, shown)
    codebook = model.bottleneck.codewords
    return Explored(
        title=title(run.metrics),
        clusters=found,
        accuracy=accuracy,
        embedding=_embedded(z_e[shown]),
        reconstructions=np.concatenate([_as_bytes(reconstructed(model, batch.numpy())) for batch in images]),
        index=index,
        codewords=[] if index is None or codebook is None else _codewords(model, codebook, z_e, index),
        K=0 if codebook is None else len(codebook),
    )


def title(metrics: Mapping[str, Any]) -> str:
    """Model, what was chosen of its settings, seed and steps of a run, as its `metrics.json` has them."""
    chosen = chosen_words(metrics["fidelity"], metrics.get("hyperparameters") or {})
    steps = counted(metrics["steps"], "step")
    return ", ".join([metrics["bottleneck"], *chosen, f"seed {metrics['seed']}", steps])


def named_by_class(clusters: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The clusters, each with the number of the class that it matches best, one to one; the rest come last.

    Shapes: both (N,). So a table of clusters against classes has its large numbers on the diagonal.
    """
    counts = np.zeros((clusters.max() + 1, labels.max() + 1), dtype=int)
    np.add.at(counts, (clusters, labels), 1)
    matched = dict(zip(*linear_sum_assignment(counts, maximize=True), strict=True))
    free = iter(sorted(set(range(len(counts) + counts.shape[1])) - set(matched.values())))
    return np.array([matched[row] if row in matched else next(free) for row in range(len(counts))])[clusters]


def _codes(model: Autoencoder, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """z_e (n, M * d) and the chosen codewords, None without a codebook; see `Explored`."""
    taps = [model.latent(batch.to(model.device)).taps for batch in ImageBatches(images, BATCH)]
    z_e = np.concatenate([own["z_e"].flatten(1).float().cpu().numpy() for own in taps])
    if model.bottleneck.codewords is None or "index" not in taps[0]:
        return z_e, None
    return z_e, np.concatenate([own["index"].flatten(1).cpu().numpy() for own in taps])


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1] as uint8."""
    return np.rint(255 * pixels).astype(np.uint8)


def _embedded(codes: np.ndarray) -> np.ndarray:
    """The codes (m, d) in two dimensions; too few for a t-SNE by their first two numbers."""
    if len(codes) < 4:
        return np.pad(codes[:, :2], ((0, 0), (0, max(0, 2 - codes.shape[1]))))
    return tsne_points(codes, seed=0, points=len(codes))[0]


def _codewords(model: Autoencoder, codebook: torch.Tensor, z_e: np.ndarray, index: np.ndarray) -> list[Codeword]:
    uses = np.bincount(index.ravel(), minlength=len(codebook))
    numbers = np.argsort(-uses, kind="stable")[:CODEWORDS].tolist()
    decoded = decoded_codewords(model, numbers)
    assert decoded is not None
    vectors = codebook.float().cpu().numpy()
    codes = z_e.reshape(len(z_e), model.encoder.positions, -1)  # (n, M, d)
    parts = index.shape[1] // codes.shape[1]
    found = []
    for number, picture in zip(numbers, _as_bytes(decoded), strict=True):
        image, position = np.nonzero(index == number)
        distance = np.square(codes[image, position // parts] - vectors[number]).sum(-1)
        nearest = list(dict.fromkeys(image[np.argsort(distance, kind="stable")].tolist()))[:NEAREST]
        found.append(Codeword(number, int(uses[number]), picture, nearest))
    return found
