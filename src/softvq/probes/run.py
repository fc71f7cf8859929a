"""The probes and figures of a trained autoencoder."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from softvq.checks import at_least
from softvq.data.dataset import ImageArrays
from softvq.data.module import ImageData
from softvq.probes import figures
from softvq.probes.classification import Classification
from softvq.probes.clustering import Clustering
from softvq.probes.encode import Encoded, check_tap, encode
from softvq.probes.progress import Progress
from softvq.probes.protocol import diagnostics, probe
from softvq.training.autoencoder import Autoencoder


class Probes:
    """Encodes both parts of the data, probes the codes and draws the run's figures.

    Args:
        clustering: K-means under the protocol's settings.
        classification: the single-layer classifier under the protocol's settings.
        tap: which latent the probes read.
        part: whose codes are clustered and scored: `test`, or `validation` for choices.
        train_limit: probe the first training codes only; None for all.
        test_limit: likewise for the test codes.
        tsne_points: test codes in the t-SNE figure.
        seed: of the t-SNE.
        jobs: K-means starts at a time.
        figures_dir: where the figures go.
        latents_path: where z_e and labels go, or None.
        progress: gives each probe, by name, what it reports to.
    """

    def __init__(
        self,
        clustering: Callable[..., Clustering],
        classification: Callable[..., Classification],
        tap: str,
        part: str,
        train_limit: int | None,
        test_limit: int | None,
        tsne_points: int,
        seed: int,
        jobs: int,
        figures_dir: Path,
        latents_path: Path | None,
        progress: Callable[[str], Progress | None],
    ) -> None:
        self.clustering, self.classification, self.tap, self.part = clustering, classification, tap, part
        self.limits = (train_limit, test_limit)
        at_least("probes.tsne_points", tsne_points, 2)
        self.tsne_points, self.seed, self.jobs = tsne_points, seed, jobs
        self.figures_dir, self.latents_path, self.progress = figures_dir, latents_path, progress

    def check(self, model: Autoencoder, data: ImageData) -> None:
        """Refuses before training what the probes would refuse after it.

        Raises:
            ValueError: for a tap that the bottleneck does not have, or limits that leave too few codes.
        """
        arrays = data.probed_arrays(self.part)
        check_tap(model, arrays, self.tap)
        self._check_labels(arrays)

    def measure(self, model: Autoencoder, data: ImageData) -> tuple[dict[str, Any], Encoded]:
        """The results, by their names in `metrics.json`, and what they were measured on."""
        arrays = data.probed_arrays(self.part)
        encoded = encode(model, arrays, self.tap, data.eval_batch_size)
        codes = encoded.codes.limited(*self.limits)
        found = probe(codes, self.clustering, self.classification, self.jobs, self.progress)
        results = {
            "probes": asdict(found),
            "reconstruction": {
                "test_mse": encoded.test_mse,
                "test_normalized_mse": encoded.test_mse / arrays.info.pixel_variance,
            },
            "diagnostics": diagnostics(encoded.test_z_e, encoded.test_index, codewords(model)),
        }
        return results, encoded

    def run(self, model: Autoencoder, data: ImageData, trained: bool) -> dict[str, Any]:
        """Measures, and writes figures and latents; returns the results, with the seconds that it took.

        Args:
            model: on the device that is to encode.
            data: what it was trained on.
            trained: whether it was at all; else nothing has learned to reconstruct.
        """
        started = time.perf_counter()
        results, encoded = self.measure(model, data)
        if not trained:
            results["reconstruction"] = None
        results["probe_s"] = time.perf_counter() - started
        if self.latents_path is not None:
            self.save_latents(encoded)
        self._draw(encoded, codewords(model), data.arrays.info.name, trained)
        return results

    def _check_labels(self, arrays: ImageArrays) -> None:
        """Refuses what the probes would refuse after all of the training."""
        parts: Any = (("train", arrays.train_labels, self.limits[0]), ("test", arrays.test_labels, self.limits[1]))
        for part, labels, limit in parts:
            if limit is not None:
                at_least(f"probes.{part}_limit", limit, 1)
            probed = labels[:limit]
            if len(probed) < arrays.info.classes or len(np.unique(probed)) < 2:
                raise ValueError(
                    f"probes.{part}_limit={limit} leaves {len(probed)} {part} codes of {len(np.unique(probed))} "
                    f"classes; the probes need two classes, and as many codes as the data have classes "
                    f"({arrays.info.classes})"
                )

    def save_latents(self, encoded: Encoded) -> None:
        """Writes z_e and labels of both parts to `latents_path`."""
        assert self.latents_path is not None
        partial = self.latents_path.with_name(f".{self.latents_path.name}")
        with partial.open("wb") as file:
            np.savez(
                file,
                train=encoded.train_z_e,
                train_labels=encoded.codes.train_labels,
                test=encoded.test_z_e,
                test_labels=encoded.codes.test_labels,
            )
        partial.replace(self.latents_path)

    def _draw(self, encoded: Encoded, K: int | None, data: str, trained: bool) -> None:
        if trained and encoded.examples.shape[-1] in (1, 3):  # others cannot be shown as a picture
            figures.reconstructions(
                encoded.examples,
                encoded.reconstructions,
                self.figures_dir / "reconstructions.png",
                title=f"{data}: {self.part} images above their reconstructions",
            )
        labels = encoded.codes.test_labels
        figures.tsne(
            encoded.test_z_e,
            labels,
            self.figures_dir / "tsne.png",
            seed=self.seed,
            points=self.tsne_points,
            title=f"{data}: t-SNE of z_e, {self.part} set",
        )
        if encoded.test_index is not None and K is not None:
            figures.codebook_use(
                np.bincount(encoded.test_index.ravel(), minlength=K),
                self.figures_dir / "codebook_use.png",
                title=f"{data}: codewords used on the {self.part} set",
            )


def codewords(model: Autoencoder) -> int | None:
    """K; None without a codebook."""
    codebook = model.bottleneck.codewords
    return None if codebook is None else len(codebook)
