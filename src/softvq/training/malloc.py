"""Freed memory stays in the process, for the next training step to take up again."""

import ctypes
import os

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK = 2**25  # the most that glibc takes for M_MMAP_THRESHOLD
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Tells glibc to keep what a step frees; other systems' allocators are left alone.

    By default glibc hands a step's gradients back to the system and gets them anew, page by page and zeroed, in the
    next: a tenth of a step of the multilayer perceptron.
    """
    if "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {}):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)
