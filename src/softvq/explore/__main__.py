"""Writes the page: `softvq explore RUN [RUN ...] [--out PAGE.html]`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from softvq.console import screen
from softvq.console.arguments import Parser, number, path
from softvq.durable_files import UnwritableError
from softvq.extras import MissingExtraError
from softvq.run.recorded import finished_metrics
from softvq.run_folder import EXPLORED

LARGEST_PAGE = 8_000_000  # bytes; fewer images are shown rather than more


def main(arguments: Sequence[str] | None = None) -> int:
    """Explores runs; the exit status."""
    options = _parser().parse_args(arguments)
    out = options.out or options.runs[0] / EXPLORED
    try:
        size = write(options.runs, out, options.points, options.device)
    except MissingExtraError:
        raise
    except UnwritableError as error:
        screen.print_error(f"{error.path} cannot be written: {error.reason}; choose another --out FILE")
        return 1
    except (ValueError, OSError) as error:
        screen.print_error(str(error))
        return 1
    screen.print(f"page: {out} ({size / 1e6:.1f} MB)")
    return 0


def write(runs: Sequence[Path], out: Path, points: int, device: str) -> int:
    """Writes the page of some runs; its size in bytes.

    Raises:
        ValueError: if a folder holds no finished run, or the runs look at different images.
    """
    for run in runs:
        finished_metrics(run)  # before torch is loaded, which takes seconds
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder; name the page, as --out {out / EXPLORED}")

    from softvq.durable_files import write_text
    from softvq.explore.gather import explore
    from softvq.explore.page import page
    from softvq.run.evaluate import check_same_images
    from softvq.run.load import load_run

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


def _device(name: str) -> Any:
    """A device of torch's on which something can be computed."""
    import torch

    try:
        found = torch.zeros(1, device=name)
        found.item()  # which `meta` cannot say, as it computes nothing
        return found.device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without it
        raise ValueError(
            f"--device {name} cannot be used: {str(error).splitlines()[0].partition('. ')[0]}; leave it out, or try cpu"
        ) from None


def _parser() -> Parser:
    parser = Parser(
        "softvq explore",
        "One page to look into codes: maps, images under the pointer, clusters against classes, codewords.",
    )
    parser.add_argument("runs", nargs="+", type=path, metavar="RUN", help="folders of finished runs on the same data")
    parser.add_argument(
        "--out",
        type=path,
        metavar="PAGE.html",
        help=f"the page (default: {EXPLORED} in the first run's folder, where the report finds it)",
    )
    parser.add_argument(
        "--points", type=number(int, 1), default=2500, metavar="N", help="test images on the map (default: 2500)"
    )
    parser.add_argument("--device", default="cpu", help="of torch (default: cpu)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
