"""The user's own arrays: .npy files in a folder."""

from pathlib import Path

import numpy as np

from softvq.data.content import Chosen
from softvq.data.files import check_folder, file_state, fingerprint_of, is_file
from softvq.data.labels import classes_of, read_labels
from softvq.data.npy import mapped
from softvq.data.source import DataError, RawData, Source, check_pixels, path_setting
from softvq.data.splitting import check_test_fraction, stratified_test_set

LAYOUT = (
    "needed are train_images.npy and test_images.npy (uint8, N x H x W or N x H x W x C) "
    "with train_labels.npy and test_labels.npy (N integers or words), or images.npy with labels.npy and "
    "data.test_fraction; without files of labels nothing that needs them is measured"
)


class ArrayFiles(Source):
    """`{train,test}_images.npy` and `{train,test}_labels.npy` in one folder, or `images.npy` and `labels.npy`.

    Labels that are not 0, 1, 2, ... are renumbered in their order; a class is a label that occurs in either part.
    The files of labels may be absent, then both.

    Args:
        name: label of the data in results.
        dir: the folder.
        test_fraction: of `images.npy` that becomes the test set, the same share of every class.
        split_seed: which images that are.
    """

    def __init__(self, name: str, dir: str, test_fraction: float | None = None, split_seed: int = 0) -> None:
        super().__init__(name)
        self.dir = path_setting("data.dir", dir)
        check_test_fraction(test_fraction, split_seed)
        self.split: tuple[float, int] | None = None if test_fraction is None else (test_fraction, split_seed)

    def settings(self) -> tuple[object, ...]:
        return (str(self.dir.resolve()), *(self.split or ()))

    def fingerprint(self) -> str:
        return fingerprint_of([(path.name, *file_state(path)) for path in self._files().values()])

    def image_shape(self) -> tuple[int, int, int]:
        files = self._files()
        return self._images(files.get("train_images") or files["images"]).shape[1:]

    def load(self) -> RawData:
        files = self._files()
        images = {part: self._images(path) for part, path in files.items() if part.endswith("images")}
        labels = {
            part: read_labels(path, mapped(path, LAYOUT), len(images[part.replace("labels", "images")]))
            for part, path in files.items()
            if part.endswith("labels")
        }
        numbers, names = classes_of(tuple(labels.values()), str(self.dir)) if labels else ([], ())
        if self.split:
            return self._divided(images["images"], numbers[0] if numbers else None, names, *self.split)
        train_labels, test_labels = numbers or (None, None)
        return RawData(
            source=self._source,
            verified=None,
            class_names=names,
            train_images=images["train_images"],
            train_labels=train_labels,
            test_images=images["test_images"],
            test_labels=test_labels,
        )

    @property
    def _source(self) -> str:
        return f"arrays in {self.dir}"

    def _divided(
        self, images: np.ndarray, labels: np.ndarray | None, names: tuple[str, ...], test_fraction: float, seed: int
    ) -> RawData:
        groups = np.zeros(len(images), dtype=np.int64) if labels is None else labels
        test = stratified_test_set(groups, test_fraction, seed)
        return RawData(
            source=self._source,
            verified=None,
            class_names=names,
            train_images=Chosen(images, np.flatnonzero(~test)),
            train_labels=None if labels is None else labels[~test],
            test_images=Chosen(images, np.flatnonzero(test)),
            test_labels=None if labels is None else labels[test],
        )

    def _files(self) -> dict[str, Path]:
        """The files that are read, by their names without the suffix; each part's images before its labels."""
        check_folder("data.dir", self.dir, LAYOUT)
        names = [f"{split}{part}" for split in ("train_", "test_", "") for part in ("images", "labels")]
        there = {name: path for name in names if is_file(path := self.dir / f"{name}.npy")}
        divided, whole = [name for name in there if "_" in name], [name for name in there if "_" not in name]
        if divided and whole:
            raise DataError(
                f"data.dir={self.dir} has {_listed(whole)} beside {_listed(divided)}; "
                "remove what is not to be used: either one set that is split, or two parts"
            )
        if divided and self.split:
            raise DataError(
                f"data.dir={self.dir} has a test set of its own ({_listed(divided)}); drop data.test_fraction"
            )
        if whole and not self.split:
            raise DataError(
                f"data.dir={self.dir} has no test set; set data.test_fraction=0.2 to set a fifth of images.npy aside, "
                "the same share of each class, or save train_images.npy and test_images.npy"
            )
        needed = ["images"] if self.split else ["train_images", "test_images"]
        if any("labels" in name for name in there):  # all or none
            needed = [part for name in needed for part in (name, name.replace("images", "labels"))]
        if missing := [name for name in needed if name not in there]:
            raise DataError(f"data.dir={self.dir} lacks {_listed(missing)}; {LAYOUT}")
        return there

    def _images(self, path: Path) -> np.ndarray:
        images = mapped(path, LAYOUT)
        if images.dtype != np.uint8:
            raise DataError(
                f"{path} must be uint8 (pixel values 0 to 255), found {images.dtype}; "
                f"scale it to 0 to 255 and save it with .astype(numpy.uint8)"
            )
        if images.ndim not in (3, 4) or 0 in images.shape:
            raise DataError(f"{path} must be N x H x W or N x H x W x C with none of them 0, found {images.shape}")
        if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] > 4:
            raise DataError(
                f"{path} has shape {images.shape}, which looks like N x C x H x W; "
                f"the channels come last: save it with .transpose(0, 2, 3, 1)"
            )
        check_pixels(str(path), images.shape[1:], "save smaller ones")
        return images if images.ndim == 4 else images[..., None]


def _listed(names: list[str]) -> str:
    return ", ".join(f"{name}.npy" for name in names)
