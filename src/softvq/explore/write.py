"""Writes the page of some runs, with as many images as keep it small enough to be sent on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from softvq.durable_files import write_text
from softvq.explore.gather import explore
from softvq.explore.page import page
from softvq.run.evaluate import check_same_images
from softvq.run.load import load_run

LARGEST_PAGE = 8_000_000  # bytes; fewer images are shown rather than more


def write(runs: Sequence[Path], out: Path, points: int, device: str) -> int:
    """Writes the page of some runs; its size in bytes.

    Raises:
        ValueError: if a folder holds no finished run, or the runs look at different images.
    """
    where = _device(device)
    found = [load_run(run) for run in runs]
    contents = {run.metrics["provenance"]["data"]["sha256"] for run in found}
    if len(contents) > 1:
        raise ValueError("the runs were trained on different data; explore those of the same images together")
    data = found[0].images()
    check_same_images(found[0], data.arrays.info)
    arrays = data.arrays
    if arrays.info.image_shape[2] not in (1, 3):
        raise ValueError(f"images with {arrays.info.image_shape[2]} channels cannot be shown as pictures")
    count = len(arrays.test_images)
    labels = np.full(count, -1) if arrays.test_labels is None else arrays.test_labels
    names = arrays.info.class_names
    shown = np.sort(np.random.default_rng(0).permutation(count)[:points])
    while True:
        explored = [explore(run, arrays, shown, where) for run in found]
        text = page(explored, arrays.test_images, labels, names, arrays.info.name, shown)
        if len(text.encode()) <= LARGEST_PAGE or len(shown) < 100:
            break
        shown = shown[:: 1 + len(text.encode()) // LARGEST_PAGE]
    write_text(out, text)
    return out.stat().st_size


def _device(name: str) -> torch.device:
    """A device of torch's on which something can be computed."""
    try:
        found = torch.zeros(1, device=name)
        found.item()  # which `meta` cannot say, as it computes nothing
        return found.device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without it
        raise ValueError(
            f"--device {name} cannot be used: {str(error).splitlines()[0].partition('. ')[0]}; leave it out, or try cpu"
        ) from None
