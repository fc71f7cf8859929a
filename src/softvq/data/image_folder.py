"""The user's own pictures: a folder for each class."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from softvq.bounded_files import printable
from softvq.checks import at_least
from softvq.data.files import check_folder, fingerprint_of, is_folder, state_at
from softvq.data.pictures import SUFFIXES, Header, Pictures
from softvq.data.source import DataError, RawData, Source, check_pixels, path_setting
from softvq.data.splitting import check_test_fraction, stratified_test_set

SPLITS = ("train", "test")
LAYOUT = (
    "needed are train/CLASS/ and test/CLASS/ with pictures (.png, .jpg, .webp, .tiff or .bmp), or CLASS/ alone with "
    "data.test_fraction; pictures without class folders are trained on without labels"
)


@dataclass
class Found:
    """The pictures of a part: each one's class ("" for none), path and state; and what else lies there,
    folders without a picture among it.
    """

    classes: list[str] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    states: list[tuple[int, int, int]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)

    def labelled(self) -> bool:
        return any(self.classes)


class ImageFolder(Source):
    """`{train,test}/CLASS/**/*.png|jpg|webp|tiff|bmp`, or `CLASS/**` alone; classes are numbered as their names sort.

    A class is a folder with a picture in it, or further down, in either part. Pictures that lie in no class folder have
    no label: they are read where no others are.

    Pictures have one size, as their camera turned them, or are resized to `image_size` x `image_size` (bilinear, with
    antialiasing; the sides are scaled apart). If all are gray there is one channel, otherwise there are three;
    transparency is dropped.

    Args:
        name: label of the data in results.
        dir: the folder.
        image_size: pixels a side; None where all pictures have one size.
        test_fraction: of pictures without train/ and test/ that becomes the test set, the same share of every class.
        split_seed: which pictures that are.
    """

    def __init__(
        self, name: str, dir: str, image_size: int | None, test_fraction: float | None = None, split_seed: int = 0
    ) -> None:
        super().__init__(name)
        self.dir = path_setting("data.dir", dir)
        if image_size is not None:
            try:
                at_least("data.image_size", image_size, 1, whole=True)
            except ValueError as error:
                raise DataError(f"{error}; leave it out where all pictures have one size") from error
            check_pixels(f"data.image_size={image_size}", (image_size, image_size), "set a smaller one, as 64")
        self.image_size = image_size
        check_test_fraction(test_fraction, split_seed)
        self.split: tuple[float, int] | None = None if test_fraction is None else (test_fraction, split_seed)

    def settings(self) -> tuple[object, ...]:
        return (str(self.dir.resolve()), self.image_size, *(self.split or ()))

    def fingerprint(self) -> str:
        return fingerprint_of(
            [
                (os.path.relpath(path, self.dir), *state)
                for found in self._parts().values()
                for path, state in zip(found.paths, found.states, strict=True)
            ]
        )

    def image_shape(self) -> tuple[int, int, int]:
        return self._common(self._parts())[0]

    def load(self) -> RawData:
        parts = self._parts()
        paths = [path for found in parts.values() for path in found.paths]
        image_shape, turned = self._common(parts)
        classes = np.array([name for found in parts.values() for name in found.classes])
        names, labels = np.unique(classes, return_inverse=True)
        if self.split:
            test = stratified_test_set(labels, *self.split)
        else:
            test = np.arange(len(paths)) >= len(parts["train"].paths)
        labelled = any(found.labelled() for found in parts.values())
        train_paths, test_paths = ([paths[i] for i in np.flatnonzero(part)] for part in (~test, test))
        resized = self.image_size is not None
        return RawData(
            source=f"pictures in {self.dir}",
            verified=None,
            class_names=tuple(printable(name) for name in names) if labelled else (),
            train_images=Pictures(train_paths, image_shape, resized),
            train_labels=labels[~test] if labelled else None,
            test_images=Pictures(test_paths, image_shape, resized),
            test_labels=labels[test] if labelled else None,
            remarks=self._remarks(parts, turned),
        )

    def _parts(self) -> dict[str, Found]:
        """The pictures of train/ and test/, or of the folder itself where it has neither."""
        check_folder("data.dir", self.dir, LAYOUT)
        present = [split for split in SPLITS if is_folder(self.dir / split)]
        if present and self.split:
            raise DataError(
                f"data.dir={self.dir} has {' and '.join(f'{split}/' for split in present)} of its own; "
                "drop data.test_fraction"
            )
        if len(present) == 1:
            (other,) = set(SPLITS) - set(present)
            raise DataError(f"data.dir={self.dir} has {present[0]}/, but no {other}/; {LAYOUT}")
        parts = {split: _pictures(self.dir / split) for split in present} or {"": _pictures(self.dir)}
        for split, found in parts.items():
            if not found.paths:
                raise DataError(f"{self.dir / split} holds no picture{_aside(found.skipped)}; {LAYOUT}")
        if not present and not self.split:
            raise DataError(
                f"data.dir={self.dir} has no train/ and test/; set data.test_fraction=0.2 to set a fifth of the "
                "pictures aside, the same share of each class, or make both folders"
            )
        if len({found.labelled() for found in parts.values()}) > 1:
            with_classes = next(split for split, found in parts.items() if found.labelled())
            raise DataError(
                f"data.dir={self.dir}: only {with_classes}/ has class folders; {LAYOUT}, then in both parts"
            )
        return parts

    def _common(self, parts: dict[str, Found]) -> tuple[tuple[int, int, int], int]:
        """(H, W, C) that all pictures get, from their headers, and how many of them are turned upright for it."""
        paths = [path for found in parts.values() for path in found.paths]
        headers = _headers(tuple(paths), tuple(state for found in parts.values() for state in found.states))
        gray, turned, first = True, 0, headers[0].size
        for path, header in zip(paths, headers, strict=True):
            gray, turned = gray and header.gray, turned + header.turned
            if header.size != first and self.image_size is None:
                raise DataError(
                    f"pictures differ in size: {paths[0]} is {first[0]} x {first[1]}, {path} is "
                    f"{header.size[0]} x {header.size[1]}; set data.image_size=N to resize all to N x N"
                )
        width, height = first if self.image_size is None else (self.image_size, self.image_size)
        shape = (height, width, 1 if gray else 3)
        check_pixels(f"data.dir={self.dir}", shape, "set data.image_size=N to resize all to N x N, e.g. to 64")
        return shape, turned

    def _remarks(self, parts: dict[str, Found], turned: int) -> tuple[str, ...]:
        """What was left out of the folder, and what was done to its pictures."""
        skipped: Counter[str] = Counter()
        for found in parts.values():
            skipped.update(found.skipped)
        beside = sorted(path.name for path in self.dir.iterdir() if _is_class(path))
        others = [f"{name}/" for name in beside if name not in parts] if "" not in parts else []
        others += [f"{split}/{name}/".lstrip("/") for split, found in parts.items() for name in found.empty]
        remarks = [f"{turned} turned upright" if turned else "", f"skipped {_counted(skipped)}" if skipped else ""]
        return tuple(filter(None, [*remarks, f"left out {', '.join(others)}" if others else ""]))


@lru_cache(maxsize=4)
def _headers(paths: tuple[Path, ...], states: tuple[tuple[int, int, int], ...]) -> list[Header]:
    """What pictures say of themselves; each cell of a sweep asks, and is told again while they are as they were."""
    return [Header(path) for path in paths]


def _pictures(folder: Path) -> Found:
    """The pictures below a folder, in the order of their classes and paths; a class is a folder in it."""
    found, loose = Found(), Found()
    for path in _files(folder):
        parts = path.relative_to(folder).parts
        part, name = (found, parts[0]) if len(parts) > 1 else (loose, "")
        if not path.name.lower().endswith(SUFFIXES):
            found.skipped[printable(path.suffix.lower()) or "no suffix"] += 1
            continue
        if state := state_at(path):
            part.classes.append(name)
            part.paths.append(path)
            part.states.append(state)
    if not found.paths:
        loose.skipped = found.skipped
        return loose
    found.empty = [path.name for path in folder.iterdir() if _is_class(path) and path.name not in found.classes]
    if loose.paths:
        found.skipped["outside class folders"] += len(loose.paths)
    return found


def _is_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _files(folder: Path, inside: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """What lies below a folder and is no folder itself, in the order of names, hidden entries left out.

    Links are followed, but not into a folder that they lie in.
    """
    try:
        state = folder.stat()
        if (state.st_dev, state.st_ino) in inside:
            return
        with os.scandir(folder) as entries:
            visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}; make it readable or remove it") from error
    for entry in visible:
        path = folder / entry.name
        if path.is_dir():
            yield from _files(path, (*inside, (state.st_dev, state.st_ino)))
        else:
            yield path


def _aside(skipped: Counter[str]) -> str:
    return f" (skipped {_counted(skipped)})" if skipped else ""


def _counted(skipped: Counter[str]) -> str:
    """`5 files: 3 .txt, 2 .gif`."""
    total = sum(skipped.values())
    most = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    each = ", ".join(f"{count} {kind}" for kind, count in most[:5])
    return f"{total} file{'s' if total > 1 else ''}: {each}{', ...' if len(skipped) > 5 else ''}"
