"""Where the overlapping tiles of a frame lie, and how much each counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Default edge of a tile and overlap of neighbouring tiles, in pixels.
TILE, OVERLAP = 512, 48
# Tile sizes are rounded up to a multiple of this, so that few networks have to pad.
MULTIPLE = 8


@dataclass(frozen=True)
class AxisPlan:
    """Positions of the tiles along one axis.

    Attributes
    ----------
    starts : tuple of int
        First pixel of every tile.
    size : int
        Length of every tile in pixels.
    weights : ndarray
        ``(tiles, size)`` float32; over all tiles they sum to 1 at every pixel of the axis.
    """

    starts: tuple[int, ...]
    size: int
    weights: np.ndarray


def plan_axis(length: int, tile: int, overlap: int) -> AxisPlan:
    """Spread tiles of at most `tile` pixels evenly over an axis.

    Neighbours share at least `overlap` pixels. The outer pixels of the shared strip are each
    tile's halo: the network sees them, and their values are discarded. Across the middle quarter
    of the strip one tile fades into the next.

    Parameters
    ----------
    length : int
        Length of the axis in pixels.
    tile, overlap : int
        Largest length of a tile and smallest overlap of two neighbours, in pixels.

    Raises
    ------
    ValueError
        If tiles of this size would not advance.
    """
    if length <= tile:
        return AxisPlan((0,), length, np.ones((1, length), np.float32))
    if tile < MULTIPLE or not 0 <= overlap < tile - MULTIPLE:
        raise ValueError(f"A tile of {tile} pixels cannot overlap its neighbour by {overlap}.")
    count = math.ceil((length - overlap) / (tile - overlap))
    size = math.ceil((length + (count - 1) * overlap) / count)
    size = min(math.ceil(size / MULTIPLE) * MULTIPLE, tile)
    starts = np.linspace(0, length - size, count).round().astype(int)

    weights = np.zeros((count, size), np.float64)
    pixels = np.arange(length)
    for k, start in enumerate(starts):
        ramp = np.ones(length)
        if k > 0:
            ramp *= _fade(pixels, start, starts[k - 1] + size)
        if k < count - 1:
            ramp *= 1 - _fade(pixels, starts[k + 1], start + size)
        weights[k] = ramp[start : start + size]
    return AxisPlan(tuple(int(s) for s in starts), size, weights.astype(np.float32))


def _fade(pixels: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Rise from 0 to 1 over the middle quarter of the strip ``begin..end``."""
    middle, width = (begin + end - 1) / 2, max((end - begin) / 4, 1)
    return np.clip((pixels - middle) / width + 0.5, 0, 1)


def count_tiles(height: int, width: int, tile: int, overlap: int) -> int:
    """Return how many tiles a frame is cut into.

    Parameters
    ----------
    height, width : int
        Size of the frame in pixels.
    tile, overlap : int
        See `plan_axis`.
    """
    rows, columns = plan_axis(height, tile, overlap), plan_axis(width, tile, overlap)
    return len(rows.starts) * len(columns.starts)
