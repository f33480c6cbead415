"""Overlapping tiles over a frame, blended so that no border shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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


def count_bands(height: int, tile: int, overlap: int) -> int:
    """Number of bands that `predict_bands` yields for a frame of this height."""
    return len(plan_axis(height, tile, overlap).starts)


def count_tiles(height: int, width: int, tile: int, overlap: int) -> int:
    """Number of tiles that a frame is cut into."""
    rows, columns = plan_axis(height, tile, overlap), plan_axis(width, tile, overlap)
    return len(rows.starts) * len(columns.starts)


@dataclass(frozen=True)
class Band:
    """Rows of a frame that are finished.

    Attributes
    ----------
    rows : slice
        Which ones.
    values : ndarray
        ``(K, rows, W)`` float32; of `predict_bands`, only until the next one is asked for.
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
    """Apply a function to a frame tile by tile; no more than two rows of tiles are in memory.

    Parameters
    ----------
    predict : callable
        Maps ``(..., h, w)`` float32 and the tile's number to ``(K, h, w)`` float32.
    read : callable
        Returns some rows of the frame, ``(..., rows, W)`` float32; called in a thread of its own,
        for the next row of tiles while one is predicted.
    shape : tuple of int
        Height and width of the frame.
    tile, overlap : int
        In pixels, see `plan_axis`.
    first : int
        Where to begin: the number of bands that were finished before.

    Yields
    ------
    Band or None
        After every tile: None, or what the tile has finished.
    """
    rows, columns = plan_axis(shape[0], tile, overlap), plan_axis(shape[1], tile, overlap)
    windows = [slice(top, top + rows.size) for top in rows.starts]
    ends = [*rows.starts[1:], shape[0]]
    begin = max(first - 1, 0)  # the band before shares rows with the first
    blended: np.ndarray | None = None  # one for all rows of tiles: of a wide image it is large
    carried: np.ndarray | None = None
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(read, windows[begin])]
        for i in range(begin, len(windows)):
            window = windows[i]
            pixels = coming.pop().result()
            if i + 1 < len(windows):
                coming.append(reader.submit(read, windows[i + 1]))
            for j, left in enumerate(columns.starts):
                place = np.s_[..., left : left + columns.size]
                number = i * len(columns.starts) + j
                values = predict(np.ascontiguousarray(pixels[place]), number)
                if blended is None:
                    blended = np.empty((values.shape[0], rows.size, shape[1]), np.float32)
                if j == 0:
                    blended[:] = 0
                    if carried is not None:
                        blended[:, : carried.shape[1]] = carried
                blended[place] += values * rows.weights[i][:, None] * columns.weights[j]
                if i >= first and j + 1 < len(columns.starts):
                    yield None
            assert blended is not None
            finished = ends[i] - window.start
            carried = blended[:, finished:].copy()
            if i >= first:
                yield Band(slice(window.start, ends[i]), blended[:, :finished])


def predict_tiled(
    predict: Callable[[np.ndarray, int], np.ndarray], frame: np.ndarray, tile: int, overlap: int
) -> np.ndarray:
    """Apply a function to a frame in memory, ``(..., H, W)`` float32, see `predict_bands`.

    Returns
    -------
    ndarray
        ``(K, H, W)`` float32.
    """
    shape = frame.shape[-2:]
    bands = predict_bands(predict, lambda rows: frame[..., rows, :], shape, tile, overlap)
    return np.concatenate([band.values.copy() for band in bands if band is not None], axis=1)
