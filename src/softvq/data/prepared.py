"""Image data prepared once: from a source into uint8 arrays on disk that every run maps.

A prepared set is a folder `ROOT/prepared/NAME-KEY` of .npy files and `meta.json`. It is written under a lock to a
temporary name, down to the disk, and renamed when whole, so it either is complete or is not there. What is opened is
compared with its SHA-256 the first time that a process uses it. Planning a sweep reads this module: it imports neither
torch nor the libraries that read images.
"""

import hashlib
import json
import logging
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softvq.bounded_files import UnreadableFileError, printable, read_json
from softvq.console import screen
from softvq.data.content import IMAGES, LABELS, Content, write_array
from softvq.data.dataset import DatasetInfo, ImageArrays
from softvq.data.files import file_state, make_folder, same_but_copied
from softvq.data.npy import mapped
from softvq.data.source import DataError, RawData, Source
from softvq.durable_files import sync, sync_folder
from softvq.locks import LockError, locked

log = logging.getLogger(__name__)

FORMAT = 2  # of the prepared folder; another number means: prepare again
PARTS: dict[str, np.dtype] = {
    "train_images": IMAGES,
    "train_labels": LABELS,
    "test_images": IMAGES,
    "test_labels": LABELS,
}

_verified: dict[Path, list[tuple[int, ...]]] = {}  # folder -> its files' states when this process compared them


def prepare(source: Source, root: str | Path) -> ImageArrays:
    """Arrays of a source below `root`, written there first if they are not there, no longer current or altered.

    Raises: DataError: if the source's files are missing, damaged or do not fit together.
    """
    folder = prepared_folder(source, root)
    arrays = _open_current(folder, source)
    if arrays is not None:
        return arrays
    source.fetch_missing()
    source.fingerprint()  # raises for what is not there, before anything is made
    made = make_folder("data.root", Path(root))
    try:
        if not folder.parent.exists():
            folder.parent.mkdir()
            made.append(folder.parent)
        with locked(
            folder.with_name(f".{folder.name}.lock"),
            "set data.root=PATH to a folder on a local disk",
            lambda: screen.print(printable(f"waiting: another process prepares {folder}")),
        ):
            arrays = _open_current(folder, source)  # another process may have been faster
            if arrays is None:
                if prepared_info(source, root):
                    log.warning("%s was altered after it was prepared; it is prepared again", printable(str(folder)))
                screen.print(printable(f"preparing {source.name} in {folder}"))
                _write(folder, source)
                arrays = _open(folder)
    except (DataError, LockError, OSError) as error:
        _remove_made(made)
        if isinstance(error, DataError):
            raise
        if arrays := _open_copied(folder, source):
            return arrays
        raise DataError(
            f"data.root={root}: cannot prepare {source.name} in {folder}: {error}; "
            f"set data.root=PATH to a folder that can be written and has room"
        ) from error
    if arrays is None:
        raise DataError(f"{folder} changed while it was opened; run the command again")
    screen.print(arrays.info.summary())
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
    return Path(os.path.expanduser(root)) / "prepared" / f"{source.name}-{key}"


@dataclass(frozen=True)
class _Meta:
    info: DatasetInfo
    fingerprint: str

    @property
    def parts(self) -> list[str]:
        """The arrays that belong to the set, in the order of their content."""
        return [part for part in PARTS if self.info.classes or part.endswith("images")]


def _read_meta(folder: Path) -> _Meta | None:
    """The description of a prepared folder; None unless it is whole, and all its files have their sizes."""
    try:
        content = read_json(folder / "meta.json")
        if content.pop("checksum") != _checksum(content) or content["format"] != FORMAT:
            return None
        info: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in content["info"].items()}
        meta = _Meta(DatasetInfo(**info), content["fingerprint"])
        sizes = {part: (folder / f"{part}.npy").stat().st_size for part in meta.parts}
    except (OSError, UnreadableFileError, AttributeError, KeyError, TypeError, ValueError):
        return None
    return meta if sizes == content["sizes"] else None


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_current(meta: _Meta, source: Source) -> bool:
    if meta.info.verified is False and source.verify:
        return False
    return source.fingerprint() in (meta.fingerprint, None)


def _open_current(folder: Path, source: Source) -> ImageArrays | None:
    meta = _read_meta(folder)
    return _open(folder) if meta and _is_current(meta, source) else None


def _open_copied(folder: Path, source: Source) -> ImageArrays | None:
    """A set that lies where nothing can be written, and whose source was copied there with its times."""
    meta = _read_meta(folder)
    if meta is None or (meta.info.verified is False and source.verify):
        return None
    return _open(folder) if same_but_copied(source.fingerprint() or "", meta.fingerprint) else None


def _remove_made(made: list[Path]) -> None:
    """Leaves nothing of a setting that was refused: the folders that were made for it, if nobody uses them."""
    for path in reversed(made):
        for lock in path.glob(".*.lock"):
            lock.unlink(missing_ok=True)
        with suppress(OSError):
            path.rmdir()


def _open(folder: Path) -> ImageArrays | None:
    """Maps a prepared folder; None if it is replaced meanwhile, or its content is not what was written."""
    meta = _read_meta(folder)
    if meta is None:
        return None
    try:
        before = _states(folder, meta)
        parts = {part: mapped(folder / f"{part}.npy", "") for part in meta.parts}
        if before != _states(folder, meta):
            return None
    except (DataError, OSError):
        return None
    if _verified.get(folder) != before:
        content = Content()
        for part, array in parts.items():
            for _ in content.add(array, PARTS[part]):
                pass
        if content.sha256() != meta.info.sha256:
            return None
        _verified[folder] = before
    labels = {part: np.array(array) for part, array in parts.items() if part.endswith("labels")}
    return ImageArrays(
        meta.info, parts["train_images"], labels.get("train_labels"), parts["test_images"], labels.get("test_labels")
    )


def _states(folder: Path, meta: _Meta) -> list[tuple[int, ...]]:
    paths = [folder / f"{part}.npy" for part in meta.parts]
    return [(path.stat().st_ino, *file_state(path)) for path in paths]


def _write(folder: Path, source: Source) -> None:
    """Prepares a source in `folder`; the caller holds the lock, so what a dead process left can go."""
    temporary, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for path in (temporary, old):
        shutil.rmtree(path, ignore_errors=True)
    before = source.fingerprint()
    try:
        raw = source.load()
    except OSError as error:
        raise DataError(f"{source.name}: cannot read the data: {error}") from error
    _check_room(folder, raw)
    temporary.mkdir()
    try:
        info = _write_arrays(temporary, source.name, raw)
        # The state before reading: files that change meanwhile are prepared again by the next run.
        _write_meta(temporary, _Meta(info, before or source.fingerprint() or ""))
        sync_folder(temporary)
        if folder.exists() or folder.is_symlink():
            folder.rename(old)
        temporary.rename(folder)
        sync_folder(folder.parent)
    finally:
        for path in (temporary, old):
            shutil.rmtree(path, ignore_errors=True)


def _write_arrays(folder: Path, name: str, raw: RawData) -> DatasetInfo:
    content = Content()
    statistics, per_class = {}, {}
    for split, images, labels in raw.splits():
        statistics[split] = write_array(folder / f"{split}_images.npy", images, IMAGES, content)
        per_class[split] = np.bincount([] if labels is None else labels, minlength=len(raw.class_names)).tolist()
        if labels is not None:
            write_array(folder / f"{split}_labels.npy", labels, LABELS, content)
    return DatasetInfo(
        name=name,
        source=printable(raw.source),
        sha256=content.sha256(),
        verified=raw.verified,
        image_shape=tuple(raw.train_images.shape[1:]),  # type: ignore[arg-type]
        class_names=raw.class_names,
        train_per_class=tuple(per_class["train"]),
        test_per_class=tuple(per_class["test"]),
        train_size=raw.train_images.shape[0],
        test_size=raw.test_images.shape[0],
        pixel_counts=tuple(statistics["train"].pixel_counts.tolist()),
        duplicates=int(np.isin(statistics["test"].hashes, statistics["train"].hashes).sum()),
        remarks=tuple(printable(remark) for remark in raw.remarks),
    )


def _write_meta(folder: Path, meta: _Meta) -> None:
    """Writes the description of arrays that lie in a folder which nobody else knows yet."""
    sizes = {part: (folder / f"{part}.npy").stat().st_size for part in meta.parts}
    content = {"format": FORMAT, "info": asdict(meta.info), "fingerprint": meta.fingerprint, "sizes": sizes}
    content = json.loads(json.dumps(content))  # as it will be read: tuples are lists
    file = folder / "meta.json"
    file.write_text(json.dumps({**content, "checksum": _checksum(content)}, indent=2), encoding="utf-8")
    sync(file)


def _check_room(folder: Path, raw: RawData) -> None:
    """Refuses what would fill the disk before it does."""
    needed = sum(int(np.prod(images.shape, dtype=object)) for _, images, _ in raw.splits())
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise DataError(
            f"{folder} needs {needed / 1e9:,.1f} GB for {raw.train_images.shape[0] + raw.test_images.shape[0]:,} "
            f"images of {raw.train_images.shape[1:]}, and its disk has {free / 1e9:,.1f} GB left; "
            "set data.root=PATH to another disk, or use smaller images"
        )
