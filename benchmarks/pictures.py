"""Draws the documents' pictures of codes as the code of today draws them: after a change of it, or for other runs.

RUN is a finished run of soft VQ on MNIST that kept its codes (probes.save_latents=true), whose map becomes
docs/soft_vq_mnist.png; --figure-4 names the folder of the runs of `experiment=figure_4`, of which docs/figure_4.png is
made.
"""

import argparse
import base64
import shutil
import tempfile
from pathlib import Path

import numpy as np

from softvq.probes.drawing import Album
from softvq.probes.run_figures import draw_tsne
from softvq.report.read.collection import collect
from softvq.report.write.figure_4 import panels
from softvq.run.recorded import finished_metrics
from softvq.run.summary import chosen_words

DOCS = Path(__file__).parents[1] / "docs"
POINTS, SEED = 2500, 0  # as in a run's own figures


def tsne_of(run: Path, out: Path) -> None:
    """Draws the t-SNE of the codes that a run has kept."""
    metrics = finished_metrics(run)
    chosen = chosen_words(metrics["fidelity"], metrics.get("hyperparameters") or {})
    label = ", ".join([f"{metrics['bottleneck']} on {metrics['data']}", *chosen, f"seed {metrics['seed']}"])
    with np.load(run / "latents.npz") as kept, tempfile.TemporaryDirectory() as folder:
        codes = kept["test"].reshape(len(kept["test"]), -1).astype(np.float32)
        labels = kept["test_labels"]
        names = metrics["provenance"]["data"].get("class_names") or [str(number) for number in range(labels.max() + 1)]
        draw_tsne(Album(Path(folder), label, []), codes, labels, names, "test", SEED, POINTS)
        shutil.copyfile(Path(folder) / "tsne.png", out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN")
    parser.add_argument("--figure-4", type=Path, metavar="LOGS")
    options = parser.parse_args()
    if options.run:
        tsne_of(options.run, DOCS / "soft_vq_mnist.png")
    if options.figure_4:
        with tempfile.TemporaryDirectory() as cache:
            (found,) = panels(collect([options.figure_4]).runs, {}, Path(cache))
        (DOCS / "figure_4.png").write_bytes(base64.b64decode(found["picture"].source.partition(",")[2]))


if __name__ == "__main__":
    main()
