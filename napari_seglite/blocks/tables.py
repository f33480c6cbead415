"""What a block leaves for later steps: a table of its objects."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class BlockTable:
    """The objects of a block, numbered from 1 within it.

    Attributes
    ----------
    sizes : ndarray
        ``(n,)`` int64, the pixels of every object in the block; 0 for those in its margin alone.
    first : ndarray
        ``(n,)`` int64, the place of its first pixel in the block among those of the whole image.
    sums : ndarray
        ``(n,)`` float64, the sum over the block of the probabilities of its pixels.
    pixels, owner : ndarray
        Pixels of the block, int64 in raster order, that are written and may have to be removed
        again, and the objects that they belong to. Only for masks.
    """

    sizes: np.ndarray
    first: np.ndarray
    sums: np.ndarray
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    owner: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))

    @classmethod
    def empty(cls) -> BlockTable:
        """Return the table of a block without objects."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))

    def packed(self) -> bytes:
        """Return the table as the content of a file."""
        return pack(**vars(self))

    @classmethod
    def unpacked(cls, content: bytes) -> BlockTable:
        """Return the table in the content of a file."""
        return cls(**unpack(content))


def pack(**arrays: Any) -> bytes:
    """Return arrays as the content of an ``.npz`` file; numbers of objects compress poorly."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def pack_labels(labels: np.ndarray) -> bytes:
    """Return labels as the content of a compressed ``.npz`` file, see `unpack`."""
    file = io.BytesIO()
    np.savez_compressed(file, labels=labels)
    return file.getvalue()


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays in the content of an ``.npz`` file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
