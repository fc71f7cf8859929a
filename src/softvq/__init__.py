"""Bottlenecks of autoencoders, trained and probed under one protocol.

Used as a library, the package offers the names below; each loads what it needs when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softvq.bottlenecks.soft_vq import SoftVQ
    from softvq.bottlenecks.vae import GaussianPosterior
    from softvq.bottlenecks.vq import VectorQuantizer
    from softvq.library.trained import FeatureEncoder, load, read_pictures
    from softvq.report.read.table import read_runs

_WHERE = {
    "SoftVQ": "softvq.bottlenecks.soft_vq",
    "VectorQuantizer": "softvq.bottlenecks.vq",
    "GaussianPosterior": "softvq.bottlenecks.vae",
    "FeatureEncoder": "softvq.library.trained",
    "load": "softvq.library.trained",
    "read_pictures": "softvq.library.trained",
    "read_runs": "softvq.report.read.table",
}
__all__ = ["FeatureEncoder", "GaussianPosterior", "SoftVQ", "VectorQuantizer", "load", "read_pictures", "read_runs"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'softvq' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
