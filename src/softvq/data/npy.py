"""Arrays in .npy files that anybody may have written: mapped once their header is found to keep its promise."""

import math
import warnings
from pathlib import Path
from typing import Literal

import numpy as np

from softvq.data.files import opened, size_of
from softvq.data.source import DataError

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
HEADERS[3, 0] = HEADERS[2, 0]  # the same, but for the encoding of names that no array of numbers has


def mapped(path: Path, layout: str) -> np.ndarray:
    """A .npy file's array, only its header read; nothing in it is ever unpickled.

    Args:
        path: of the file.
        layout: what is needed, for the message.

    Raises: DataError: if the file is no .npy file, or its size is not what its header says.
    """
    with opened(path) as file:
        try:
            version = np.lib.format.read_magic(file)
            if version not in HEADERS:
                raise ValueError(f"its format {version} is not known")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of headers that Python 2 wrote
                shape, fortran_order, dtype = HEADERS[version](file)
            offset = file.tell()
        except Exception as error:  # a damaged header makes NumPy raise what its parser does
            raise DataError(f"{path} is not a .npy file: {error}; {layout}") from error
    if dtype.hasobject:
        raise DataError(
            f"{path} holds Python objects, which are not read; save words with .astype(str) "
            f"and numbers with .astype(numpy.int64); {layout}"
        )
    if any(size < 0 for size in shape):
        raise DataError(f"{path} is not a .npy file: its shape is {shape}; {layout}")
    expected = offset + math.prod(shape) * dtype.itemsize
    if (found := size_of(path)) != expected:
        raise DataError(
            f"{path} should have {expected} bytes for {dtype} {shape}, found {found}: "
            f"it is cut short or altered; copy or save it again"
        )
    order: Literal["F", "C"] = "F" if fortran_order else "C"
    if not math.prod(shape) * dtype.itemsize:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)
