"""What a block leaves for its neighbours: its objects, and its labels where they overlap it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class BlockTable:
    """The objects of a block, numbered from 1 within it, and its labels in the overlaps.

    Attributes
    ----------
    sizes : ndarray
        ``(n,)`` int64, the pixels of every object in the block; 0 for those in its margin alone.
    first : ndarray
        ``(n,)`` int64, the place of its first pixel in the block among those of the whole image.
    sums : ndarray
        ``(n,)`` float64, the sum over the block of the probabilities of its pixels.
    strips : dict
        By the number of a neighbour, the labels in what both segment, uint32 ``(d, h, w)``; none
        if there are only zeros.
    pixels, owner : ndarray
        Pixels of the block, int64 in raster order, that are written and may have to be removed
        again, and the objects that they belong to. Only for masks.
    """

    sizes: np.ndarray
    first: np.ndarray
    sums: np.ndarray
    strips: dict[int, np.ndarray] = field(default_factory=dict)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    owner: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))

    @classmethod
    def empty(cls) -> BlockTable:
        """Return the table of a block without objects."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))

    def packed(self) -> bytes:
        """Return the table as the content of a file."""
        strips = {f"strip {number}": labels for number, labels in self.strips.items()}
        one = {name: value for name, value in vars(self).items() if name != "strips"}
        return pack(**one, **strips)

    @classmethod
    def unpacked(cls, content: bytes) -> BlockTable:
        """Return the table in the content of a file."""
        arrays = unpack(content)
        strips = {
            int(name.removeprefix("strip ")): arrays.pop(name)
            for name in list(arrays)
            if name.startswith("strip ")
        }
        return cls(**arrays, strips=strips)


def pack(**arrays: np.ndarray) -> bytes:
    """Return arrays as the content of an ``.npz`` file."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays in the content of an ``.npz`` file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
