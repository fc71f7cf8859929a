"""Sizes at which BLAS multiplies thin matrices fast.

A probe multiplies many codes by ten columns. BLAS spends most of such a product on repacking the codes. OpenBLAS has
kernels that do not repack (`gemm_small_matrix_permit`), for products of at most 100^3 multiplications, and for W X^T
of at most 1,200 results. A large product cut to that size takes half the time; elsewhere the cut costs next to nothing.
"""

import math
from itertools import pairwise

SMALL_PRODUCT = 100**3
SMALL_TRANSPOSED = 1200


def small_transposed(d: int, columns: int) -> int:
    """How many rows X (rows, d) may have for W X^T to be small, W being (columns, d); 16 if that is fewer."""
    return max(16, min(SMALL_TRANSPOSED, SMALL_PRODUCT // d) // columns)


def small_width(rows: int, columns: int) -> int:
    """How wide X (rows, width) may be for P X to be small, P being (columns, rows); 16 if that is less."""
    return max(16, SMALL_PRODUCT // (columns * rows))


def even_blocks(n: int, largest: int) -> list[slice]:
    """0 .. n - 1 cut into as few blocks of nearly equal size as keep within `largest`."""
    count = math.ceil(n / largest)
    edges = [n * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]
