"""Street View House Numbers, cropped digits: two MATLAB files."""

from pathlib import Path

import numpy as np

from softvq.data.official import OfficialSet, all_verified, md5_of
from softvq.data.source import RawData


class SvhnFiles(OfficialSet):
    """`{train,test}_32x32.mat` with X uint8 (32, 32, 3, N) and y, labels from 1 to 10, where 10 is the digit 0."""

    def image_shape(self) -> tuple[int, int, int]:
        return (32, 32, 3)

    def files(self) -> list[Path]:
        return [self._path("train"), self._path("test")]

    def published(self) -> dict[Path, str]:
        from torchvision.datasets import SVHN

        return {self._path(split): SVHN.split_list[split][2] for split in ("train", "test")}

    def download(self, root: Path) -> None:
        from torchvision.datasets import SVHN

        for split in ("train", "test"):
            if not self._path(split).is_file():
                SVHN(root, split=split, download=True)

    def load(self) -> RawData:
        self.fetch_missing()
        verified = all_verified(self.accept(path, md5_of(path), md5) for path, md5 in self.published().items())
        train_images, train_labels = self._read("train")
        test_images, test_labels = self._read("test")
        return RawData(
            source=f"torchvision.datasets.SVHN in {self.root}",
            verified=verified,
            classes=10,
            train_images=train_images,
            train_labels=train_labels,
            test_images=test_images,
            test_labels=test_labels,
        )

    def _path(self, split: str) -> Path:
        return self.root / f"{split}_32x32.mat"

    def _read(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, 32, 32, 3) and labels (N,)."""
        from scipy.io import loadmat

        path = self._path(split)
        try:
            content = loadmat(path, variable_names=["X", "y"])
            images, labels = content["X"], content["y"].ravel().astype(np.int64)
        except Exception as error:  # a damaged file makes loadmat raise almost anything
            raise self.damaged(path, f"{type(error).__name__}: {error}") from error
        if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)):
            raise self.damaged(
                path, f"X uint8 (32, 32, 3, {len(labels)}) expected, X {images.dtype} {images.shape} found"
            )
        labels[labels == 10] = 0
        return images.transpose(3, 0, 1, 2), labels
