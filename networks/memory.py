"""`keep_memory`: large tensors reuse the memory of their predecessors."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's mallopt: below which size blocks come from the heap, and how much of it may lie idle.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
LARGEST = 2**31 - 1


def keep_memory() -> bool:
    """Tells the C library to keep freed memory for this process; whether it has agreed.

    A training makes and frees the same large tensors in every step. By default glibc gives them
    back to the system each time, and the next step pays for fresh, zeroed pages: an LSTM of 64 on
    windows of 60 rows trains twice as fast without. The peak of the memory is the same, and no bit
    of a result changes. Only Linux with glibc knows it; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST))
