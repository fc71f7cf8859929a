"""What all figures share: colours, formats, a title that says whose they are, and captions beside them.

Matplotlib is imported when something is drawn. Its global state and the user's own settings of it have no influence on
the figures, and the figures none on them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softvq.console import counted, screen
from softvq.durable_files import whole, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Paul Tol's "muted" colours, which any colour vision tells apart, and black. Further classes take the next marker.
COLOURS = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#000000",
)  # fmt: skip
MARKERS = "o^sDvP*X<>"
DPI = 150
PLAIN: Any = {"font.size": 9, "axes.titlesize": 9, "svg.hashsalt": "softvq", "pdf.fonttype": 42}


class Album:
    """The figures of one run, in one folder: each as PNG and in further formats, with captions in `captions.md`.

    A figure that cannot be drawn costs a warning, never the run.

    Args:
        folder: where they go.
        label: model, data and seed, for titles and captions.
        formats: beside PNG.

    Attributes:
        steps: of training, which the captions say; 0 for what is not trained.
    """

    def __init__(self, folder: Path, label: str, formats: Sequence[str]) -> None:
        self.folder, self.label, self.formats = folder, label, formats
        self.steps = 0
        self.captions: dict[str, str] = {}

    def add(self, name: str, title: str, caption: str, draw: Callable[[], "Figure"]) -> None:
        """Draws a figure under the album's label and a title, and writes it with its caption."""
        try:
            with plain_style():
                figure = draw()
                figure.suptitle(f"{self.label}\n{title}", fontsize=9)
                for suffix in ("png", *self.formats):
                    save(figure, self.folder / f"{name}.{suffix}", f"{self.label}: {title}")
            self.captions[name] = caption
            trained = f", after {counted(self.steps, 'step')}" if self.steps else ""
            pages = [f"## {name}.png\n\n{text} Model: {self.label}{trained}.\n" for name, text in self.captions.items()]
            write_text(self.folder / "captions.md", "\n".join(["# Figures\n", *pages]))
        except Exception as error:  # whatever a drawing library raises, the run's numbers do not depend on it
            screen.print_warning(f"figure {name} could not be drawn: {type(error).__name__}: {error}")


@contextmanager
def plain_style() -> Iterator[None]:
    """Matplotlib's own settings and ours within, whatever a user's matplotlibrc says; as before afterwards."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(PLAIN)
        yield


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches, without a window or a global backend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", path: Path, title: str) -> None:
    """Writes a figure in the format of the path's suffix; its bytes depend on the picture and the title alone.

    Args:
        figure: what is written.
        path: of the file: .png, .pdf or .svg.
        title: what the file's own description says.
    """
    kind = path.suffix[1:]
    undated = {"png": "Software", "pdf": "CreationDate", "svg": "Date"}
    with whole(path) as partial:
        figure.savefig(partial, format=kind, metadata={undated[kind]: None, "Title": title})


def class_style(number: int) -> tuple[str, str]:
    """Colour and marker of a class."""
    return COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]


def image_grid(rows: Sequence[np.ndarray], labels: Sequence[str]) -> "Figure":
    """Rows of images, each row with a label.

    All of them are one picture: an axis for each image would take most of a short run's time.

    Shapes: each row (n, H, W, C), uint8 or floats, C = 1 or 3; rows may differ in n. Floats are cut to [0, 1].

    Raises:
        ValueError: for anything else.
    """
    for images in rows:
        if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
            raise ValueError(f"images must have shape (n, H, W, C) with n > 0 and C = 1 or 3, got {images.shape}")
    columns = max(len(images) for images in rows)
    _, height, width, channels = rows[0].shape
    gap = max(1, round(0.06 * width))
    step = np.array([height, width]) + gap
    mosaic = np.ones((len(rows) * step[0] - gap, columns * step[1] - gap, channels))
    for r, images in enumerate(rows):
        for c, image in enumerate(images):
            pixels = image / 255 if image.dtype == np.uint8 else np.clip(image, 0, 1)
            mosaic[r * step[0] :, c * step[1] :][:height, :width] = pixels
    side = min(0.8, 12 / columns)  # inches
    figure = new_figure(side * columns + 0.9, len(rows) * side * step[0] / step[1] + 0.6)
    axis = figure.subplots()
    axis.imshow(mosaic.squeeze(-1) if channels == 1 else mosaic, "gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set(xticks=[], yticks=[r * step[0] + height / 2 for r in range(len(rows))], yticklabels=labels)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure


def folded(images: np.ndarray, columns: int) -> list[np.ndarray]:
    """Images in reading order as rows of `columns`; the last may be shorter. Shapes: (n, H, W, C)."""
    return np.array_split(images, range(columns, columns * math.ceil(len(images) / columns), columns))
