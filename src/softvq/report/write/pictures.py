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
LARGE = 120_000  # bytes of a PNG from which on 256 colours do
KINDS = {
    "reconstructions": "test images above their reconstructions",
    "tsne": "t-SNE of the codes, test set",
    "codebook_use": "codewords used on the test set",
    "health": "health of the code during training",
    "curve": "loss terms during training",
    "interpolation": "decoded paths between test images",
    "samples": "decoded samples from the prior",
    "codewords": "decoded codewords",
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
    """A picture of moderate size, with nothing but its pixels."""
    if image.width > MAX_WIDTH:
        image = image.resize(
            (MAX_WIDTH, max(1, round(image.height * MAX_WIDTH / image.width))), Image.Resampling.LANCZOS
        )
    content = _png(image)
    if len(content) > LARGE:
        content = min(content, _png(image.quantize(256)), key=len)
    return Picture(f"data:image/png;base64,{base64.b64encode(content).decode()}", image.width, image.height)


def ordered(paths: Iterable[Path]) -> list[Path]:
    """Reconstructions, t-SNE and codebook first, others by name behind them."""
    kinds = list(KINDS)
    return sorted(paths, key=lambda path: (kinds.index(path.stem) if path.stem in kinds else len(kinds), path.name))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
