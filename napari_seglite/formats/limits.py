"""What a file may claim: sizes are compared with the file and the memory before reading."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from ..errors import ImageError

# Deflate shrinks an array no further than this; a smaller file holds less than it claims.
BEST_RATIO = 1100
# Share of the free memory that one image may take.
SHARE = 0.5


def largest_in_memory() -> int:
    """Return the number of bytes that an image may take in memory."""
    import psutil

    return int(psutil.virtual_memory().available * SHARE)


def check_in_memory(shape: Sequence[int], dtype: DTypeLike, advice: str) -> None:
    """Raise `ImageError` if an array does not fit into memory.

    Parameters
    ----------
    shape, dtype
        Of the array.
    advice : str
        What to do instead, a sentence.
    """
    size, largest = _bytes(shape, dtype), largest_in_memory()
    if size > largest:
        raise ImageError(
            f"it would take {size / 1e9:,.1f} GB in memory, and {largest / 1e9:,.1f} GB are free "
            f"for it. {advice}"
        )


def check_claim(
    shape: Sequence[int], dtype: DTypeLike, stored: int | os.stat_result, ratio: float = BEST_RATIO
) -> None:
    """Raise `ImageError` if a file is too small for the array that it claims to hold.

    Parameters
    ----------
    shape, dtype
        Of the array.
    stored : int or os.stat_result
        Size in bytes of the file, or of the part that holds the array.
    ratio : float
        How far the file's compression can shrink an array; 1 for none.
    """
    size = _bytes(shape, dtype)
    there = stored if isinstance(stored, int) else stored.st_size
    if size > there * ratio + 4096:
        sizes = " x ".join(map(str, shape))
        raise ImageError(
            f"it claims {sizes} pixels, {size / 1e9:,.3g} GB, but has only {there:,} bytes: "
            "the file is damaged or incomplete."
        )


def _bytes(shape: Sequence[int], dtype: DTypeLike) -> int:
    return math.prod(int(n) for n in shape) * np.dtype(dtype).itemsize
