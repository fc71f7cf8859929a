"""Trained models in other people's code: a run's model, and a scikit-learn transformer made of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from sklearn.base import BaseEstimator, TransformerMixin

from softvq.data.pictures import Pictures
from softvq.library.exported import FILES, load_exported
from softvq.run.load import load_run
from softvq.training.autoencoder import Autoencoder


def load(run: str | Path, trust: Sequence[str] = ()) -> Autoencoder:
    """The trained model of a finished run, or of what `softvq export` made of one; in evaluation mode.

    `model(images)` gives reconstructions and latents of uint8 images, `model.encode(images)` their codes z_e. Further
    attributes are `config` and `metrics`, the run's settings and results as plain dictionaries, and `image_shape` and
    `pixel_offset`, which say what images it takes and what its pixels are.

    Args:
        run: the run's folder, or that of an export.
        trust: classes of one's own that a run's configuration may name, as ["half.Half"]; those that `conf/` of the
            current folder names are trusted as well, and softvq's own always are.

    Raises:
        ValueError: if the folder holds neither, or files that are damaged or do not belong together.
    """
    if all((Path(run) / name).exists() for name in FILES):
        model, config, metrics = load_exported(Path(run), trust)
        model.__dict__.update(config=config, metrics=metrics)
    else:
        finished = load_run(run, trust)
        model = finished.model()
        model.__dict__.update(config=OmegaConf.to_container(finished.config), metrics=finished.metrics)
    return model


def read_pictures(files: str | Path | Iterable[str | Path], image_shape: Sequence[int]) -> np.ndarray:
    """Picture files as a run on a folder of pictures sees them: upright, gray or in colour, resized.

    Shapes: returns uint8 (N, H, W, C).

    Args:
        files: PNG, JPEG, WebP, TIFF or BMP; one of them, or several.
        image_shape: (H, W, C), that of the model that is to look at them.

    Raises:
        ValueError: naming a file that cannot be read as a picture.
    """
    height, width, channels = image_shape
    paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
    if not paths:
        return np.empty((0, height, width, channels), np.uint8)
    return Pictures(paths, (height, width, channels), resized=True)[:]


class FeatureEncoder(TransformerMixin, BaseEstimator):
    """Images to the latent codes of a trained run, as a scikit-learn transformer.

    It has nothing to learn: `fit` only loads the model, and any method that needs it does so by itself. A copy that is
    cloned or pickled remembers the run's folder, not the weights.

    Args:
        run: the run's folder.
        tap: which latent: `z_e`, or another that the bottleneck has.
        batch_size: images at a time; the codes depend on it by rounding alone.
        device: of torch, e.g. "cuda".
    """

    def __init__(self, run: str | Path, tap: str = "z_e", batch_size: int = 1000, device: str = "cpu") -> None:
        self.run, self.tap, self.batch_size, self.device = run, tap, batch_size, device

    def fit(self, images: Any = None, labels: Any = None) -> "FeatureEncoder":
        """Loads the model; the arguments are not looked at."""
        self._model()
        return self

    def transform(self, images: Any) -> np.ndarray:
        """The codes (N, M * d), float32.

        Args:
            images: uint8, (N, H, W, C), (N, H, W) of gray ones, or flattened to (N, H * W * C).

        Raises:
            ValueError: for other types and shapes, or a tap that the bottleneck does not have.
        """
        model = self._model()
        images = np.asarray(images)
        if images.shape[1:] != model.image_shape and images[:1].size == np.prod(model.image_shape):
            images = images.reshape(len(images), *model.image_shape)
        batches = [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]
        codes = [self._codes(model, batch) for batch in batches]
        return np.concatenate(codes) if codes else np.empty((0, len(self.get_feature_names_out())), np.float32)

    @torch.inference_mode()
    def _codes(self, model: Autoencoder, images: np.ndarray) -> np.ndarray:
        taps = model.latent(torch.tensor(images, device=self.device)).taps  # a copy: arrays may be read-only
        if self.tap not in taps:
            raise ValueError(f"tap is {self.tap!r}, which this run does not have; it has {', '.join(taps)}")
        return taps[self.tap].flatten(1).float().cpu().numpy()

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """`z_e_0`, `z_e_1`, ... by the tap's name."""
        model = self._model()
        width = self._codes(model, np.zeros((1, *model.image_shape), np.uint8)).shape[1]
        return np.array([f"{self.tap}_{number}" for number in range(width)], dtype=object)

    def _model(self) -> Autoencoder:
        key = (str(self.run), self.device)
        if getattr(self, "_loaded", (None, None))[0] != key:
            self._loaded = (key, load(self.run).to(self.device))
        return self._loaded[1]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in super().__getstate__().items() if key != "_loaded"}

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = True
        return tags
