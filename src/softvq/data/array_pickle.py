"""CIFAR-10's pickled arrays, read without running anything: no code that a pickle names, nor NumPy's unpickling."""

import math
import pickle
from typing import Any

import numpy as np


class ArrayUnpickler(pickle.Unpickler):
    """Builds plain values, and a `PickledArray` for each uint8 array; whatever else a pickle names is refused."""

    def find_class(self, module: str, name: str) -> Any:
        core = {f"numpy.{part}.{place}" for part in ("core", "_core") for place in ("multiarray", "numeric")}
        known = {("numpy", "ndarray"): NDARRAY, ("numpy", "dtype"): PickledType, ("_codecs", "encode"): _encode}
        if module in core and name in ("_reconstruct", "_frombuffer"):
            return _reconstruct if name == "_reconstruct" else _frombuffer
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in CIFAR-10")
        return known[module, name]


class PickledType:
    """The type of an array's values, which must be uint8."""

    def __init__(self, code: str, *_: Any) -> None:
        if code not in ("u1", "uint8"):
            raise pickle.UnpicklingError("values of uint8 expected")

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like, of which uint8 has none."""


class PickledArray:
    """What a pickle says of an array."""

    def __init__(self, shape: tuple[int, ...] = (), content: bytes = b"", fortran_order: bool = False) -> None:
        self.shape, self.content, self.fortran_order = shape, content, fortran_order

    def __setstate__(self, state: tuple[int, tuple[int, ...], PickledType, bool, bytes | str]) -> None:
        _, self.shape, dtype, self.fortran_order, content = state
        if not isinstance(dtype, PickledType):
            raise pickle.UnpicklingError("values of uint8 expected")
        self.content = content if isinstance(content, bytes) else content.encode("latin1")

    def array(self) -> np.ndarray:
        """The array itself.

        Raises: ValueError: if it has not as many bytes as its shape says.
        """
        if not all(isinstance(size, int) and size >= 0 for size in self.shape):
            raise ValueError("its shape is not one")
        if math.prod(self.shape) != len(self.content):
            raise ValueError(f"{len(self.content)} bytes for an array of shape {self.shape}")
        values = np.frombuffer(self.content, np.uint8)
        return values.reshape(self.shape, order="F" if self.fortran_order else "C")


NDARRAY = "numpy.ndarray"  # what stands for the class; nothing can be called through it


def _reconstruct(kind: str, shape: tuple[int, ...], code: bytes) -> PickledArray:
    return PickledArray()


def _frombuffer(content: bytes, dtype: PickledType, shape: tuple[int, ...], order: str) -> PickledArray:
    return PickledArray(shape, bytes(content), order == "F")


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 pickles bytes for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"{encoding!r} is no encoding of bytes")
    return text.encode("latin1")
