"""Pictures that anybody may have made: looked at, turned as their camera says, and decoded."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from softvq.data.files import opened, size_of
from softvq.data.source import DataError
from softvq.machine import cores

# Only these are tried, whatever a file is called: others start programs (EPS) or unfold without bounds.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
MAX_PICTURE_PIXELS = 100_000_000  # before it is resized
MOST_DECODED = 4  # pictures at a time: a large one takes some hundred megabytes until it is resized
GRAY_MODES = {"1", "L", "LA"}
ON_ITS_SIDE = (5, 6, 7, 8)  # what EXIF's orientation is then


class Header:
    """What a picture says of itself.

    Attributes:
        gray: whether it has no colours.
        size: (width, height) as it is to be seen.
        turned: whether it is stored otherwise.
    """

    def __init__(self, path: Path) -> None:
        with opened(path) as file:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of odd, yet readable content, and of sizes refused below
                    picture = Image.open(file, formats=FORMATS)
                    orientation = _orientation(picture)
            except Exception as error:  # a damaged picture makes PIL raise almost anything
                raise _broken(path, error) from error
            mode, self.size = picture.mode, picture.size
        if mode.startswith(("I", "F")):
            raise DataError(f"{path} has more than 8 bits a pixel (mode {mode}); save it with 8 bits")
        if self.size[0] * self.size[1] > MAX_PICTURE_PIXELS:
            raise DataError(
                f"{path} has {self.size[0]} x {self.size[1]} pixels, more than the {MAX_PICTURE_PIXELS:,} that are "
                "read; shrink or remove it"
            )
        self.gray, self.turned = mode in GRAY_MODES, orientation != 1
        if orientation in ON_ITS_SIDE and picture.format != "TIFF":  # of which PIL says the size as it is to be seen
            self.size = self.size[::-1]


class Pictures:
    """Pictures decoded when asked for: uint8 (N, H, W, C).

    Args:
        paths: of the files.
        image_shape: (H, W, C) that all get.
        resized: whether they may have another size before.
    """

    def __init__(self, paths: Sequence[Path], image_shape: tuple[int, int, int], resized: bool) -> None:
        self._paths, self._resized = paths, resized
        self.shape = (len(paths), *image_shape)

    def __getitem__(self, images: slice, /) -> np.ndarray:
        with warnings.catch_warnings(), ThreadPoolExecutor(min(cores(), MOST_DECODED)) as threads:
            warnings.simplefilter("ignore")
            return np.stack(list(threads.map(self._read, self._paths[images])))

    def _read(self, path: Path) -> np.ndarray:
        _, height, width, channels = self.shape
        with opened(path) as file:
            try:
                picture = Image.open(file, formats=FORMATS)
                picture.load()
                ImageOps.exif_transpose(picture, in_place=True)
                clear = picture.convert("RGBA") if "transparency" in picture.info else picture
                plain = clear.convert("L" if channels == 1 else "RGB")
            except Exception as error:
                raise _broken(path, error) from error
        if plain.size != (width, height):
            if not self._resized:
                raise DataError(f"{path} is {plain.size[0]} x {plain.size[1]}, unlike its header; save it again")
            plain = plain.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(plain).reshape(height, width, channels)


def _orientation(picture: Image.Image) -> int:
    """EXIF's number for how a picture is to be turned, 1 for not at all; without reading its pixels."""
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1
    return picture.getexif().get(ExifTags.Base.Orientation, 1)


def _broken(path: Path, error: Exception) -> DataError:
    said = str(error).replace(str(path), "it") or type(error).__name__
    if "cannot identify image file" in said:
        said = f"it is none of {', '.join(FORMATS)}"
    return DataError(f"{path} ({size_of(path)} bytes) cannot be read as a picture: {said}; replace or remove it")
