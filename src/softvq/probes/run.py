"""Measures a trained autoencoder: its probes, the health of its code, its error, and the pictures of it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from softvq.checks import at_least
from softvq.console import screen
from softvq.data.dataset import ImageArrays
from softvq.data.module import ImageData
from softvq.durable_files import whole
from softvq.health import collapse
from softvq.probes.codes import Codes
from softvq.probes.drawing import Album
from softvq.probes.encode import Encoded, check_tap, encode
from softvq.probes.progress import Progress
from softvq.probes.protocol import Probe, lacking_labels
from softvq.probes.run_figures import draw_figures
from softvq.published import PROBE_METRICS
from softvq.training.autoencoder import Autoencoder


class Probes:
    """Encodes both parts of the data, probes the codes and draws the run's figures.

    Args:
        probes: those of the protocol, by name.
        tap: which latent they read.
        part: whose codes are clustered and scored: `test`, or `validation` for choices.
        train_limit: probe the first training codes only; None for all.
        test_limit: likewise for the test codes.
        tsne_points: test codes in the t-SNE figure.
        seed: of the t-SNE and of samples from a prior.
        jobs: threads of a probe.
        album: takes the figures.
        latents_path: where z_e and labels go, or None.
        progress: gives each probe, by name, what it reports to.
    """

    def __init__(
        self,
        probes: Mapping[str, Probe],
        tap: str,
        part: str,
        train_limit: int | None,
        test_limit: int | None,
        tsne_points: int,
        seed: int,
        jobs: int,
        album: Album,
        latents_path: Path | None,
        progress: Callable[[str], Progress | None],
    ) -> None:
        self.probes, self.tap, self.part = probes, tap, part
        for name, limit in (("train", train_limit), ("test", test_limit)):
            if limit is not None:
                at_least(f"probes.{name}_limit", limit, 1, whole=True)
        self.limits = (train_limit, test_limit)
        at_least("probes.tsne_points", tsne_points, 2, whole=True)
        at_least("probes.seed", seed, 0, whole=True)
        self.tsne_points, self.seed, self.jobs = tsne_points, seed, jobs
        self.album, self.latents_path, self.progress = album, latents_path, progress

    def check(self, model: Autoencoder, data: ImageData) -> None:
        """Refuses before training what the probes would refuse after it, and says what they will leave out.

        Raises:
            ValueError: for a tap that the bottleneck does not have, or limits that leave too few codes.
        """
        arrays = data.probed_arrays(self.part)
        check_tap(model, arrays, self.tap)
        lacking = self._lacking(arrays)
        if lacking and lacking_labels(arrays.train_labels, arrays.test_labels, arrays.info.classes) is None:
            train, test = ("null" if limit is None else limit for limit in self.limits)
            raise ValueError(
                f"probes.train_limit={train} probes.test_limit={test}: {lacking}; set higher limits, or null for all"
            )
        if lacking:
            screen.print_warning(
                f"{lacking}: {', '.join(self.probes)} are left out, and what needs no labels is measured"
            )

    def measure(self, model: Autoencoder, data: ImageData) -> tuple[dict[str, Any], Encoded]:
        """The results, by their names in `metrics.json`, and what they were measured on."""
        arrays = data.probed_arrays(self.part)
        encoded = encode(model, arrays, self.tap, data.eval_batch_size)
        found: dict[str, float | None] = dict.fromkeys(PROBE_METRICS)
        train_labels, test_labels = arrays.train_labels, arrays.test_labels
        if train_labels is not None and test_labels is not None and not self._lacking(arrays):
            codes = Codes(encoded.train, train_labels, encoded.test, test_labels, arrays.info.classes)
            limited = codes.limited(*self.limits)
            for name, probe in self.probes.items():
                found |= probe(limited, self.jobs, self.progress(name))
        health = encoded.health.compute()
        results = {
            "probes": found,
            "reconstruction": {
                "test_mse": encoded.test_mse,
                "test_normalized_mse": encoded.test_mse / arrays.info.pixel_variance,
            },
            "diagnostics": health,
            "collapsed": dict(collapse(health)),
        }
        return results, encoded

    def run(self, model: Autoencoder, data: ImageData, steps: int, curve: Path) -> dict[str, Any]:
        """Measures, and writes figures and latents; returns the results, with the seconds that it took.

        Args:
            model: on the device that is to encode.
            data: what it was trained on.
            steps: for which it was trained; after none, nothing has learned to reconstruct.
            curve: the run's training curve, a CSV file.
        """
        started = time.perf_counter()
        results, encoded = self.measure(model, data)
        if not steps:
            results["reconstruction"] = None
            results["collapsed"] = {}
        results["probe_s"] = time.perf_counter() - started
        if self.latents_path is not None:
            self.save_latents(encoded, data)
        arrays = data.probed_arrays(self.part)
        self.album.steps = steps
        try:
            draw_figures(self.album, model, arrays, encoded, curve, self.part, self.seed, self.tsne_points)
        except Exception as error:  # the results do not depend on any picture
            screen.print_warning(f"figures could not be drawn: {type(error).__name__}: {error}")
        return results

    def save_latents(self, encoded: Encoded, data: ImageData) -> None:
        """Writes z_e and labels of both parts to `latents_path`."""
        assert self.latents_path is not None
        arrays = data.probed_arrays(self.part)
        parts = {
            "train": encoded.train_z_e,
            "train_labels": arrays.train_labels,
            "test": encoded.test_z_e,
            "test_labels": arrays.test_labels,
        }
        with whole(self.latents_path) as partial, partial.open("wb") as file:
            np.savez(file, **{name: part for name, part in parts.items() if part is not None})  # type: ignore[arg-type]

    def _lacking(self, arrays: ImageArrays) -> str | None:
        """Why the probed codes' labels cannot serve; None if they can."""
        train, test = (
            labels if labels is None else labels[:limit]
            for labels, limit in zip((arrays.train_labels, arrays.test_labels), self.limits, strict=True)
        )
        return lacking_labels(train, test, arrays.info.classes)
