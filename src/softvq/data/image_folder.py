"""The user's own pictures: a folder for each class."""

import os
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from softvq.data.source import DataError, RawData, Source, fingerprint_of

SUFFIXES = (".png", ".jpg", ".jpeg")
SPLITS = ("train", "test")
LAYOUT = "needed are train/CLASS/ and test/CLASS/ with .png or .jpg pictures"
GRAY_MODES = {"1", "L", "LA"}
BROKEN = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)  # what PIL raises


class ImageFolder(Source):
    """`{train,test}/CLASS/*.png|jpg|jpeg`; classes are numbered in the order of their names.

    Pictures have one size or are resized to `image_size` x `image_size` (bilinear, with antialiasing; the sides are
    scaled apart). If all are gray there is one channel, otherwise there are three; transparency is dropped.
    """

    def __init__(self, name: str, dir: str, image_size: int | None) -> None:
        super().__init__(name)
        if image_size is not None and image_size < 1:
            raise DataError(f"data.image_size must be at least 1 (or null), got {image_size}")
        self.dir = Path(dir).expanduser()
        self.image_size = image_size

    def settings(self) -> tuple[object, ...]:
        return (str(self.dir.resolve()), self.image_size)

    def fingerprint(self) -> str:
        return fingerprint_of(
            [
                (os.path.relpath(entry.path, self.dir), entry.stat().st_size, entry.stat().st_mtime_ns)
                for split in SPLITS
                for entries in self._classes(split).values()
                for entry in entries
            ]
        )

    def image_shape(self) -> tuple[int, int, int]:
        return self._image_shape([path for split in SPLITS for path in self._pictures(split)[0]])

    def load(self) -> RawData:
        train_paths, train_labels = self._pictures("train")
        test_paths, test_labels = self._pictures("test")
        image_shape = self._image_shape(train_paths + test_paths)
        return RawData(
            source=f"pictures in {self.dir}",
            verified=None,
            classes=len(self._classes("train")),
            train_images=_Pictures(train_paths, image_shape),
            train_labels=train_labels,
            test_images=_Pictures(test_paths, image_shape),
            test_labels=test_labels,
        )

    def _classes(self, split: str) -> dict[str, list[os.DirEntry]]:
        """Class -> its pictures, both in the order of their names."""
        folders = {part: _visible(self.dir / part) for part in SPLITS}
        for part, entries in folders.items():
            if not any(entry.is_dir() for entry in entries):
                raise DataError(f"data.dir={self.dir} has no class folders in {part}/; {LAYOUT}")
        train, test = ({entry.name for entry in folders[part] if entry.is_dir()} for part in SPLITS)
        if train != test:
            only_train, only_test = (", ".join(sorted(extra)) or "none" for extra in (train - test, test - train))
            raise DataError(
                f"data.dir={self.dir}: train/ and test/ must have the same class folders; "
                f"only in train/: {only_train}; only in test/: {only_test}"
            )
        classes = {}
        for folder in folders[split]:
            if folder.is_dir():
                classes[folder.name] = [e for e in _visible(folder) if e.name.lower().endswith(SUFFIXES)]
                if not classes[folder.name]:
                    raise DataError(f"{folder.path} holds no {', '.join(SUFFIXES)} file; {LAYOUT}")
        return classes

    def _pictures(self, split: str) -> tuple[list[Path], np.ndarray]:
        """Paths of a split's pictures and their labels (N,)."""
        classes = list(self._classes(split).values())
        labels = np.repeat(np.arange(len(classes)), [len(entries) for entries in classes])
        return [Path(entry) for entries in classes for entry in entries], labels

    def _image_shape(self, paths: list[Path]) -> tuple[int, int, int]:
        """(H, W, C) that all pictures get, from their headers: one that is not gray makes the set coloured."""
        channels, first = 1, _header(paths[0])[1]
        for path in paths:
            mode, size = _header(path)
            if mode.startswith(("I", "F")):
                raise DataError(f"{path} has more than 8 bits a pixel (mode {mode}); save it with 8 bits")
            if mode not in GRAY_MODES:
                channels = 3
            if size != first and self.image_size is None:
                raise DataError(
                    f"pictures differ in size: {paths[0]} is {first[0]} x {first[1]}, {path} is {size[0]} x {size[1]}; "
                    f"set data.image_size=N to resize all to N x N"
                )
        width, height = first if self.image_size is None else (self.image_size, self.image_size)
        return height, width, channels


class _Pictures:
    """Pictures decoded when asked for: uint8 (N, H, W, C)."""

    def __init__(self, paths: list[Path], image_shape: tuple[int, int, int]) -> None:
        self._paths = paths
        self.shape = (len(paths), *image_shape)

    def __getitem__(self, images: slice, /) -> np.ndarray:
        return np.stack([self._read(path) for path in self._paths[images]])

    def _read(self, path: Path) -> np.ndarray:
        _, height, width, channels = self.shape
        try:
            with Image.open(path) as file:
                picture = file.convert("RGBA") if "transparency" in file.info else file
                picture = picture.convert("L" if channels == 1 else "RGB")
        except BROKEN as error:
            raise _broken(path, error) from error
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(picture).reshape(height, width, channels)


def _visible(folder: str | os.PathLike[str]) -> list[os.DirEntry]:
    """What a folder holds, in the order of names, hidden entries left out; nothing if there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _header(path: Path) -> tuple[str, tuple[int, int]]:
    """Mode and (width, height) of a picture."""
    try:
        with Image.open(path) as picture:
            return picture.mode, picture.size
    except BROKEN as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} ({path.stat().st_size} bytes) cannot be read as a picture: {error}; replace or remove it")
