"""Image data prepared once: from a source into uint8 arrays on disk that every run maps.

A prepared set is a folder `ROOT/prepared/NAME-KEY` of four .npy files and `meta.json`. It is written under a lock to a
temporary name and renamed when whole, so it either is complete or is not there. Planning a sweep reads this module:
it imports neither torch nor the libraries that read images.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from softvq.data.dataset import DatasetInfo, ImageArrays
from softvq.data.source import DataError, RawData, SlicedImages, Source, file_state

log = logging.getLogger(__name__)

ARRAY_FILES = ("train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy")
FORMAT = 1  # of the prepared folder; another number means: prepare again
BLOCK_BYTES = 2**23  # what is read, hashed and written at a time


def prepare(source: Source, root: str | Path) -> ImageArrays:
    """Arrays of a source below `root`, written there first if they are not there or no longer current.

    Raises: DataError: if the source's files are missing, damaged or do not fit together.
    """
    folder = prepared_folder(source, root)
    arrays = _open_current(folder, source)
    if arrays is None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _lock(folder):
                arrays = _open_current(folder, source)  # another process may have been faster
                if arrays is None and _restore_meta(folder):
                    arrays = _open_current(folder, source)
                if arrays is None:
                    log.info("Preparing %s in %s", source.name, folder)
                    _write(folder, source)
                    arrays = _open(folder)
        except OSError as error:
            raise DataError(
                f"data.root={root}: cannot prepare {source.name} in {folder}: {error}; "
                f"set data.root=PATH to a folder that can be written and has room"
            ) from error
    if arrays is None:
        raise DataError(f"{folder} changed while it was opened; run the command again")
    if arrays.info.verified is False:
        log.warning(
            "%s is NOT the official copy: its checksums differ and data.verify=false accepted it (%s)",
            arrays.info.name,
            arrays.info.source,
        )
    return arrays


def prepared_info(source: Source, root: str | Path) -> DatasetInfo | None:
    """What is prepared below `root` and still current; None if it must be prepared first. Reads no image.

    Raises: DataError: if the source's files are gone and cannot be fetched.
    """
    meta = _read_meta(prepared_folder(source, root))
    return meta.info if meta and _is_current(meta, source) else None


def prepared_folder(source: Source, root: str | Path) -> Path:
    """Folder of a source's prepared arrays below `root`."""
    key = hashlib.sha256(repr((type(source).__name__, *source.settings())).encode()).hexdigest()[:8]
    return Path(root).expanduser() / "prepared" / f"{source.name}-{key}"


@dataclass(frozen=True)
class _Meta:
    info: DatasetInfo
    fingerprint: str
    files: dict[str, list[int]]  # file -> size, time


def _read_meta(folder: Path, times: bool = True) -> _Meta | None:
    """The description of a prepared folder, or None unless all its files are as they were written."""
    try:
        content = json.loads((folder / "meta.json").read_text())
        info = DatasetInfo(**{**content["info"], "image_shape": tuple(content["info"]["image_shape"])})
        meta = _Meta(info, content["fingerprint"], {name: content["files"][name] for name in ARRAY_FILES})
        whole = content["format"] == FORMAT and all(
            file_state(folder / name)[: 1 + times] == tuple(state[: 1 + times]) for name, state in meta.files.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return meta if whole else None


def _is_current(meta: _Meta, source: Source) -> bool:
    if meta.info.verified is False and source.verify:
        return False
    return source.fingerprint() in (meta.fingerprint, None)


def _open_current(folder: Path, source: Source) -> ImageArrays | None:
    meta = _read_meta(folder)
    return _open(folder) if meta and _is_current(meta, source) else None


def _open(folder: Path) -> ImageArrays | None:
    """Maps a prepared folder; None if it is replaced meanwhile."""
    meta = _read_meta(folder)
    if meta is None:
        return None
    try:
        train_images, train_labels, test_images, test_labels = (
            np.load(folder / name, mmap_mode="r" if "images" in name else None, allow_pickle=False)
            for name in ARRAY_FILES
        )
    except (OSError, ValueError):
        return None
    if _read_meta(folder) != meta:
        return None
    return ImageArrays(meta.info, train_images, train_labels, test_images, test_labels)


def _restore_meta(folder: Path) -> bool:
    """Takes over a copied folder, whose files' times are new, if their content is what it was."""
    meta = _read_meta(folder, times=False)
    if meta is None:
        return False
    content = _Content()
    try:
        for name in ARRAY_FILES:
            array = np.load(folder / name, mmap_mode="r", allow_pickle=False)
            content.add(array, array.dtype)
    except (OSError, ValueError):
        return False
    if content.sha256() != meta.info.sha256:
        log.warning("%s was altered after it was prepared; preparing it again", folder)
        return False
    _write_meta(folder, meta.info, meta.fingerprint)
    return True


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Held by one process at a time; the system takes it from a dead one."""
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("Waiting for another process that prepares %s", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _load(source: Source) -> RawData:
    try:
        return source.load()
    except OSError as error:
        raise DataError(f"{source.name}: cannot read the data: {error}") from error


def _write(folder: Path, source: Source) -> None:
    """Prepares a source in `folder`; the caller holds the lock, so what a dead process left can go."""
    temporary, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for path in (temporary, old):
        shutil.rmtree(path, ignore_errors=True)
    before = source.fingerprint()
    raw = _load(source)
    temporary.mkdir()
    try:
        content = _Content()
        for split, images, labels in raw.splits():
            counts = content.write(temporary / f"{split}_images.npy", images, np.dtype("u1"))
            content.write(temporary / f"{split}_labels.npy", labels, np.dtype("<i8"))
            if split == "train":
                pixel_variance = _variance(counts)
        info = DatasetInfo(
            name=source.name,
            source=raw.source,
            sha256=content.sha256(),
            verified=raw.verified,
            image_shape=raw.train_images.shape[1:],  # type: ignore[arg-type]
            train_size=len(raw.train_labels),
            test_size=len(raw.test_labels),
            classes=raw.classes,
            pixel_variance=pixel_variance,
        )
        # The state before reading: files that change meanwhile are prepared again by the next run.
        _write_meta(temporary, info, before or source.fingerprint() or "")
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    finally:
        for path in (temporary, old):
            shutil.rmtree(path, ignore_errors=True)


def _write_meta(folder: Path, info: DatasetInfo, fingerprint: str) -> None:
    files = {name: file_state(folder / name) for name in ARRAY_FILES}
    meta: dict[str, Any] = {"format": FORMAT, "info": asdict(info), "fingerprint": fingerprint, "files": files}
    temporary = folder / ".meta.json"
    temporary.write_text(json.dumps(meta, indent=2) + "\n")
    temporary.replace(folder / "meta.json")


class _Content:
    """SHA-256 over arrays: of each one its shape and dtype, then its bytes."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def sha256(self) -> str:
        return self._hash.hexdigest()

    def add(self, array: SlicedImages, dtype: np.dtype, file: BinaryIO | None = None) -> np.ndarray:
        """Takes in an array, also writing it where a file is given; returns how often each pixel value occurs."""
        self._hash.update(f"{tuple(array.shape)} {dtype.str}\n".encode())
        counts = np.zeros(256, dtype=np.int64)
        for block in _blocks(array, dtype):
            self._hash.update(block.data)
            if file:
                file.write(block.data)
            if dtype == np.uint8:
                counts += np.bincount(block.ravel(), minlength=256)
        return counts

    def write(self, path: Path, array: SlicedImages, dtype: np.dtype) -> np.ndarray:
        with path.open("wb") as file:
            header = {"descr": dtype.str, "fortran_order": False, "shape": tuple(array.shape)}
            np.lib.format.write_array_header_1_0(file, header)
            counts = self.add(array, dtype, file)
            file.flush()
            os.fsync(file.fileno())
        return counts


def _blocks(array: SlicedImages, dtype: np.dtype) -> Iterator[np.ndarray]:
    rows = max(1, BLOCK_BYTES // max(1, int(np.prod(array.shape[1:])) * dtype.itemsize))
    for start in range(0, array.shape[0], rows):
        yield np.ascontiguousarray(array[start : start + rows], dtype=dtype)


def _variance(counts: np.ndarray) -> float:
    """Variance of pixel values scaled to [0, 1], from how often each of the 256 occurs."""
    values = np.arange(256) / 255
    frequency = counts / counts.sum()
    return float(frequency @ (values - frequency @ values) ** 2)
