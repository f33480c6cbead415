"""How an image is cut into blocks, and how far each is segmented beyond its border."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..errors import SegliteError
from ..formats import CHUNK

Block = tuple[slice, slice, slice]
# Blocks along Y and X are halves, quarters and so on of a chunk, or several whole chunks.
SMALLEST_EDGE = 32


@dataclass(frozen=True)
class Cut:
    """Volumes that are cut into blocks.

    A volume is what a time point holds: its frames along Z, or a single frame. Blocks are numbered
    in raster order, one volume after the other.

    Attributes
    ----------
    volumes : int
        How many there are.
    shape : tuple of int
        Frames, rows and columns of a volume.
    edges : tuple of int
        Of a block, along Z, Y and X in pixels. Those at the far side of a volume are smaller.
    margins : tuple of int
        How far a block is segmented beyond its border, along Z, Y and X in pixels.

    Raises
    ------
    SegliteError
        If blocks are no whole chunks, or smaller than two margins, so that more than two of them
        would overlap along an axis.
    """

    volumes: int
    shape: tuple[int, int, int]
    edges: tuple[int, int, int]
    margins: tuple[int, int, int]

    def __post_init__(self) -> None:
        _, side, across = self.edges
        power = side >= SMALLEST_EDGE and CHUNK % side == 0
        if side != across or not (power or (side > 0 and side % CHUNK == 0)):
            raise SegliteError(
                f"Blocks of {side} pixels do not work: choose a multiple of {CHUNK}, or one of "
                "32, 64, 128 and 256."
            )
        for edge, margin, length in zip(self.edges, self.margins, self.shape, strict=True):
            if edge < length and edge < 2 * margin:
                raise SegliteError(
                    f"Blocks of {edge} pixels are too small to be segmented {margin} pixels beyond "
                    f"their border; choose at least {2 * margin}."
                )

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks of a volume along Z, Y and X."""
        return tuple(-(-n // edge) for n, edge in zip(self.shape, self.edges, strict=True))

    @property
    def per_volume(self) -> int:
        """Number of blocks of a volume."""
        return math.prod(self.counts)

    @property
    def count(self) -> int:
        """Number of all blocks."""
        return self.volumes * self.per_volume

    def volume(self, number: int) -> int:
        """Return the volume that a block is in."""
        return number // self.per_volume

    def place(self, number: int) -> tuple[int, ...]:
        """Return where a block is among those of its volume, along Z, Y and X."""
        return tuple(int(k) for k in np.unravel_index(number % self.per_volume, self.counts))

    def core(self, number: int) -> Block:
        """Return the pixels that a block alone writes, in its volume."""
        return self._grown(number, (0, 0, 0))

    def grown(self, number: int) -> Block:
        """Return the pixels of a block and of its margins, in its volume."""
        return self._grown(number, self.margins)

    def _grown(self, number: int, margins: tuple[int, int, int]) -> Block:
        z, y, x = (
            slice(max(k * edge - margin, 0), min((k + 1) * edge + margin, length))
            for k, edge, margin, length in zip(
                self.place(number), self.edges, margins, self.shape, strict=True
            )
        )
        return z, y, x

    def neighbours(self, number: int) -> Iterator[int]:
        """Yield the numbers of the blocks around a block, corners included."""
        place, first = self.place(number), self.volume(number) * self.per_volume
        for step in product((-1, 0, 1), repeat=3):
            other = tuple(k + d for k, d in zip(place, step, strict=True))
            inside = all(0 <= k < n for k, n in zip(other, self.counts, strict=True))
            if any(step) and inside:
                yield first + int(np.ravel_multi_index(other, self.counts))

    def shared(self, number: int, other: int) -> Block:
        """Return the pixels that two neighbours both segment, in their volume."""
        z, y, x = (
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(self.grown(number), self.grown(other), strict=True)
        )
        return z, y, x


def within(inner: Block, outer: Block) -> Block:
    """Return a block in the coordinates of an outer one, relative to its corner."""
    z, y, x = (
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True)
    )
    return z, y, x
