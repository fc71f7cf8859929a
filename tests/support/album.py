"""A run's album, and its pictures read back."""

from pathlib import Path

import numpy as np
from PIL import Image

from softvq.probes.drawing import Album


def album(folder: Path, *formats: str) -> Album:
    return Album(folder, "vq on digits, seed 3", formats)


def picture(path: Path) -> np.ndarray:
    """Its pixels, (H, W, 3)."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert not image.info.keys() & {"Software", "Creation Time"}
        return np.asarray(image.convert("RGB"))
