"""Overlapping tiles over a frame, blended so that no border shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

# Tile sizes are rounded up to this, so that few networks have to pad inside.
MULTIPLE = 8


@dataclass(frozen=True)
class AxisPlan:
    """Where tiles lie along one axis.

    Attributes
    ----------
    starts : tuple of int
        First pixel of every tile.
    size : int
        Pixels of every tile.
    weights : ndarray
        ``(tiles, size)``; summed over tiles, every pixel of the axis gets 1.
    """

    starts: tuple[int, ...]
    size: int
    weights: np.ndarray


def plan_axis(length: int, tile: int, overlap: int) -> AxisPlan:
    """Spread tiles of at most `tile` pixels evenly over an axis.

    Neighbours share at least `overlap` pixels. The outer part of the shared strip is
    each tile's halo, seen by the network and thrown away; across the middle quarter
    one tile fades into the next.

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
    """Number of tiles that `tiles` yields for a frame."""
    rows, columns = plan_axis(height, tile, overlap), plan_axis(width, tile, overlap)
    return len(rows.starts) * len(columns.starts)


def predict_tiled(
    predict: Callable[[np.ndarray, int], np.ndarray], frame: np.ndarray, tile: int, overlap: int
) -> Iterator[np.ndarray]:
    """Apply a function to a frame tile by tile.

    Parameters
    ----------
    predict : callable
        Maps ``(..., h, w)`` float32 and the tile's number to ``(K, h, w)`` float32.
    frame : ndarray
        ``(..., H, W)`` float32.
    tile, overlap : int
        In pixels, see `plan_axis`.

    Yields
    ------
    ndarray
        ``(K, H, W)`` float32, the same array after every tile; complete after the last.
    """
    height, width = frame.shape[-2:]
    rows, columns = plan_axis(height, tile, overlap), plan_axis(width, tile, overlap)
    blended: np.ndarray | None = None
    places = product(enumerate(rows.starts), enumerate(columns.starts))
    for number, ((i, top), (j, left)) in enumerate(places):
        window = np.s_[..., top : top + rows.size, left : left + columns.size]
        values = predict(np.ascontiguousarray(frame[window]), number)
        if blended is None:
            blended = np.zeros((values.shape[0], height, width), np.float32)
        blended[window] += values * rows.weights[i][:, None] * columns.weights[j]
        yield blended
