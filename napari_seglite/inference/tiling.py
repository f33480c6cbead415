"""Overlapping tiles over a frame, blended so that no seam shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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


def count_bands(height: int, tile: int, overlap: int) -> int:
    """Return how many bands `predict_bands` yields for a frame.

    Parameters
    ----------
    height : int
        Rows of the frame.
    tile, overlap : int
        See `plan_axis`.
    """
    return len(plan_axis(height, tile, overlap).starts)


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


@dataclass(frozen=True)
class Band:
    """Finished rows of a frame.

    Attributes
    ----------
    rows : slice
        Their place in the frame.
    values : ndarray
        ``(K, rows, W)`` float32. `predict_bands` overwrites them when it goes on.
    """

    rows: slice
    values: np.ndarray


def predict_bands(
    predict: Callable[[np.ndarray, int], np.ndarray],
    read: Callable[[slice], np.ndarray],
    shape: tuple[int, int],
    tile: int,
    overlap: int,
    first: int = 0,
) -> Iterator[Band | None]:
    """Apply a function to a frame tile by tile, with at most two rows of tiles in memory.

    Parameters
    ----------
    predict : callable
        Maps ``(..., h, w)`` float32 and the tile's number to ``(K, h, w)`` float32.
    read : callable
        Returns rows of the frame, ``(..., rows, W)`` float32. A separate thread calls it for the
        next row of tiles while one is predicted.
    shape : tuple of int
        Height and width of the frame.
    tile, overlap : int
        In pixels, see `plan_axis`.
    first : int
        Number of bands that are finished already and are not computed again.

    Yields
    ------
    Band or None
        After every tile: the band that it finishes, or None.
    """
    rows, columns = plan_axis(shape[0], tile, overlap), plan_axis(shape[1], tile, overlap)
    tile_rows = [slice(top, top + rows.size) for top in rows.starts]
    ends = [*rows.starts[1:], shape[0]]
    begin = max(first - 1, 0)  # the previous band shares rows with the first
    blended: np.ndarray | None = None  # reused by all rows of tiles, since it is large
    carried: np.ndarray | None = None
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(read, tile_rows[begin])]
        for i in range(begin, len(tile_rows)):
            top = tile_rows[i].start
            pixels = coming.pop().result()
            if i + 1 < len(tile_rows):
                coming.append(reader.submit(read, tile_rows[i + 1]))
            for j, left in enumerate(columns.starts):
                tile_columns = np.s_[..., left : left + columns.size]
                number = i * len(columns.starts) + j
                values = predict(np.ascontiguousarray(pixels[tile_columns]), number)
                if blended is None:
                    blended = np.empty((values.shape[0], rows.size, shape[1]), np.float32)
                if j == 0:
                    blended[:] = 0
                    if carried is not None:
                        blended[:, : carried.shape[1]] = carried
                blended[tile_columns] += values * rows.weights[i][:, None] * columns.weights[j]
                if i >= first and j + 1 < len(columns.starts):
                    yield None
            assert blended is not None
            finished = ends[i] - top
            carried = blended[:, finished:].copy()
            if i >= first:
                yield Band(slice(top, ends[i]), blended[:, :finished])


def predict_tiled(
    predict: Callable[[np.ndarray, int], np.ndarray], frame: np.ndarray, tile: int, overlap: int
) -> np.ndarray:
    """Apply a function to a frame in memory, tile by tile.

    Parameters
    ----------
    predict, tile, overlap
        See `predict_bands`.
    frame : ndarray
        ``(..., H, W)`` float32.

    Returns
    -------
    ndarray
        ``(K, H, W)`` float32.
    """
    shape = frame.shape[-2:]
    bands = predict_bands(predict, lambda rows: frame[..., rows, :], shape, tile, overlap)
    return np.concatenate([band.values.copy() for band in bands if band is not None], axis=1)
