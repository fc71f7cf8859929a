"""Pictures that lie inside the page."""

import base64
import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from softvq.bounded_files import read_bytes

MAX_WIDTH = 1000
LARGE = 120_000  # bytes of a PNG; a larger one is reduced to 256 colours
KINDS = {  # kinds of pictures in a run's folder, in the order in which the page shows them
    "reconstructions": "test images above their reconstructions",
    "tsne": "t-SNE of the codes, test set",
    "codebook_use": "use of the codewords on the test set",
    "codewords": "decoded codewords",
    "samples": "decoded samples from the prior",
    "interpolation": "decoded paths between test images",
    "health": "health of the code",
}


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI."""

    source: str
    width: int
    height: int


def embedded(path: Path) -> Picture | None:
    """A PNG, made smaller where it is large; None where it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(read_bytes(path)), formats=["PNG"]) as image:
                return from_image(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError, Warning):
        return None


def from_image(image: Image.Image) -> Picture:
    """A picture as a PNG of moderate size, without metadata."""
    if image.width > MAX_WIDTH:
        image = image.resize(
            (MAX_WIDTH, max(1, round(image.height * MAX_WIDTH / image.width))), Image.Resampling.LANCZOS
        )
    content = _png(image)
    if len(content) > LARGE:
        content = min(content, _png(image.quantize(256)), key=len)
    return Picture(f"data:image/png;base64,{base64.b64encode(content).decode()}", image.width, image.height)


def ordered(paths: Iterable[Path]) -> list[tuple[Path, int]]:
    """Each picture and the place of its kind: reconstructions and t-SNE first, others by name behind the known ones."""
    kinds = list(KINDS)
    placed = [(path, kinds.index(path.stem) if path.stem in kinds else len(kinds)) for path in paths]
    return sorted(placed, key=lambda picture: (picture[1], picture[0].name))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
