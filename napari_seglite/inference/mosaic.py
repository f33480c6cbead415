"""A frame put together from overlapping tiles that come in any order, so that no seam shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..images import Box
from .rescaling import Resampling
from .tiling import AxisPlan, plan_axis

# A tile by its row and column, a cell likewise.
Place = tuple[int, int]


@dataclass(frozen=True)
class Stretch:
    """Pixels along an axis that the same tiles cover.

    Attributes
    ----------
    pixels : slice
        Of the frame, counted from the corner of the requested box.
    needed : slice
        Of the network's pixels, those that they are made of.
    tiles : tuple of int
        Numbers of the tiles, in their order.
    """

    pixels: slice
    needed: slice
    tiles: tuple[int, ...]


class TileGrid:
    """The tiles of a frame, and the *cells* in which its pixels come from the same tiles.

    Most of a tile is a cell of its own. Where neighbours fade into one another, a cell has two
    tiles, and at their corners four.

    Parameters
    ----------
    resampling : Resampling
        Of the box that the network sees.
    box : Box
        The requested box of the frame, inside of it. Where tiles lie does not depend on it.
    tile, overlap : int
        In pixels, see `plan_axis`.
    """

    def __init__(self, resampling: Resampling, box: Box, tile: int, overlap: int) -> None:
        self.resampling, self.box = resampling, box
        height, width = resampling.shape
        self.rows, self.columns = (plan_axis(n, tile, overlap) for n in (height, width))
        self.row_cells = _stretches(self.rows, resampling.needed(box.rows, 0))
        self.column_cells = _stretches(self.columns, resampling.needed(box.columns, 1))
        self.cells_of_row = _cells_of(self.row_cells, len(self.rows.starts))
        self.cells_of_column = _cells_of(self.column_cells, len(self.columns.starts))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns of tiles."""
        return len(self.rows.starts), len(self.columns.starts)

    @property
    def needed(self) -> np.ndarray:
        """Which tiles the box needs, boolean of `shape`."""
        rows, columns = (
            np.array([bool(cells) for cells in of_axis])
            for of_axis in (self.cells_of_row, self.cells_of_column)
        )
        return np.asarray(rows[:, None] & columns)

    def tile_box(self, tile: Place) -> Box:
        """Return the box of a tile in the network's pixels."""
        top, left = self.rows.starts[tile[0]], self.columns.starts[tile[1]]
        return Box(top, left, top + self.rows.size, left + self.columns.size)

    def tiles_of(self, cell: Place) -> list[Place]:
        """Return the tiles of a cell, in their order."""
        return list(product(self.row_cells[cell[0]].tiles, self.column_cells[cell[1]].tiles))

    def cells_of(self, tile: Place) -> list[Place]:
        """Return the cells that a tile is part of."""
        return list(product(self.cells_of_row[tile[0]], self.cells_of_column[tile[1]]))

    def finished_cells(self, done: np.ndarray) -> np.ndarray:
        """Return which cells are finished, boolean, once the tiles in `done` are."""
        rows = np.array([(s.tiles[0], s.tiles[-1]) for s in self.row_cells])
        columns = np.array([(s.tiles[0], s.tiles[-1]) for s in self.column_cells])
        # No pixel has more than two tiles along an axis, so the first and last are all.
        corners = [done[np.ix_(rows[:, a], columns[:, b])] for a, b in product((0, 1), repeat=2)]
        return np.asarray(np.all(corners, axis=0))

    def edges(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return where the cells begin, along rows and columns."""
        return (
            tuple(s.pixels.start for s in self.row_cells),
            tuple(s.pixels.start for s in self.column_cells),
        )

    def next_tile(self, left: np.ndarray, view: Box | None = None) -> Place | None:
        """Return the tile to compute next; None if there is none left.

        Parameters
        ----------
        left : ndarray
            Boolean, of `shape`: the tiles that are not computed yet.
        view : Box, optional
            The part of the frame that is seen: its tiles come first, from its middle outward.
        """
        if view is not None:
            rows, row_distance = self._seen(self.rows, view.rows, 0)
            columns, column_distance = self._seen(self.columns, view.columns, 1)
            seen = left & rows[:, None] & columns
            if seen.any():
                distance = row_distance[:, None] ** 2 + column_distance**2
                near = int(np.where(seen, distance, np.inf).argmin())
                return divmod(near, self.shape[1])
        first = int(left.argmax())
        return divmod(first, self.shape[1]) if left.flat[first] else None

    def _seen(self, plan: AxisPlan, view: slice, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which tiles are seen along an axis, and their distance from its middle."""
        factor = self.resampling.factor
        begin = np.array(plan.starts) / factor + self.resampling.box[axis]
        end = begin + plan.size / factor
        middle = (view.start + view.stop) / 2
        return (begin < view.stop) & (end > view.start), (begin + end) / 2 - middle


def _stretches(plan: AxisPlan, needed: np.ndarray) -> tuple[Stretch, ...]:
    """Cut an axis where the tiles change that its pixels come from."""
    first = np.zeros(plan.starts[-1] + plan.size, int)
    last = np.zeros_like(first)
    for k in range(len(plan.starts)):
        last[plan.starts[k] + np.flatnonzero(plan.weights[k])] = k
    for k in reversed(range(len(plan.starts))):
        first[plan.starts[k] + np.flatnonzero(plan.weights[k])] = k
    tiles = np.stack([first[needed[:, 0]], last[needed[:, 1]]], 1)
    begin = np.flatnonzero(np.any(np.diff(tiles, axis=0, prepend=-1), axis=1))
    return tuple(
        Stretch(
            slice(int(a), int(b)),
            slice(int(needed[a, 0]), int(needed[b - 1, 1]) + 1),
            tuple(range(tiles[a, 0], tiles[a, 1] + 1)),
        )
        for a, b in zip(begin, [*begin[1:], len(tiles)], strict=True)
    )


def _cells_of(stretches: tuple[Stretch, ...], tiles: int) -> list[list[int]]:
    """Return for every tile of an axis the stretches that it is part of."""
    found: list[list[int]] = [[] for _ in range(tiles)]
    for number, stretch in enumerate(stretches):
        for tile in stretch.tiles:
            found[tile].append(number)
    return found


@dataclass(frozen=True)
class Patch:
    """Finished pixels of a frame.

    Attributes
    ----------
    box : Box
        Counted from the corner of the requested box.
    values : ndarray
        ``(K, h, w)`` float32.
    """

    box: Box
    values: np.ndarray


class Mosaic:
    """Blends the tiles of a frame, in whatever order they come.

    A pixel adds up its tiles in the order of their numbers once all are there, so that the order
    of computing changes nothing. Tiles wait for neighbours that they fade into.

    Parameters
    ----------
    grid : TileGrid
        Of the frame.
    done : ndarray
        Boolean, the tiles that are computed already; changed in place.
    waiting : dict
        Values of those of them that unfinished cells need; changed in place.
    """

    def __init__(self, grid: TileGrid, done: np.ndarray, waiting: dict[Place, np.ndarray]) -> None:
        self.grid, self.done, self.waiting = grid, done, waiting

    def add(self, tile: Place, values: np.ndarray) -> list[Patch]:
        """Take the values of a tile and return what it finishes.

        Parameters
        ----------
        tile : tuple of int
            Row and column of the tile.
        values : ndarray
            ``(K, h, w)`` float32.
        """
        grid = self.grid
        self.done[tile] = True
        self.waiting[tile] = values
        finished = [cell for cell in grid.cells_of(tile) if self._is_finished(cell)]
        rows, columns = (sorted({cell[axis] for cell in finished}) for axis in (0, 1))
        if not finished:
            patches = []
        elif len(finished) == len(rows) * len(columns):  # in raster order it always is
            patches = [self._patch(rows, columns)]
        else:
            patches = [self._patch([row], [column]) for row, column in finished]
        for other in {other for cell in finished for other in grid.tiles_of(cell)}:
            if all(self._is_finished(cell) for cell in grid.cells_of(other)):
                self.waiting.pop(other, None)
        if all(self._is_finished(cell) for cell in grid.cells_of(tile)):
            self.waiting.pop(tile, None)
        return patches

    def _is_finished(self, cell: Place) -> bool:
        return all(self.done[tile] for tile in self.grid.tiles_of(cell))

    def _patch(self, rows: list[int], columns: list[int]) -> Patch:
        """Blend cells that form a rectangle."""
        cells = self.grid.row_cells, self.grid.column_cells
        first, last = (rows[0], columns[0]), (rows[-1], columns[-1])
        box = Box(
            *(s[k].pixels.start for s, k in zip(cells, first, strict=True)),
            *(s[k].pixels.stop for s, k in zip(cells, last, strict=True)),
        )
        bands = [np.concatenate([self._blended((r, c)) for c in columns], axis=2) for r in rows]
        return Patch(box, bands[0] if len(bands) == 1 else np.concatenate(bands, axis=1))

    def _blended(self, cell: Place) -> np.ndarray:
        """Return the values of a cell, ``(K, h, w)`` float32."""
        grid = self.grid
        rows, columns = grid.row_cells[cell[0]], grid.column_cells[cell[1]]
        needed = Box(rows.needed.start, columns.needed.start, rows.needed.stop, columns.needed.stop)
        total: np.ndarray | None = None
        for tile in grid.tiles_of(cell):
            values, own = self.waiting[tile], grid.tile_box(tile)
            if total is None:
                total = np.zeros((len(values), *needed.shape), np.float32)
            part = Box(
                max(needed.top, own.top),
                max(needed.left, own.left),
                min(needed.bottom, own.bottom),
                min(needed.right, own.right),
            )
            inside, here = part.within(own), part.within(needed)
            weighted = values[:, *inside.slices] * grid.rows.weights[tile[0]][inside.rows, None]
            total[:, *here.slices] += weighted * grid.columns.weights[tile[1]][inside.columns]
        assert total is not None
        top, left = grid.box[:2]
        box = Box(
            rows.pixels.start + top,
            columns.pixels.start + left,
            rows.pixels.stop + top,
            columns.pixels.stop + left,
        )
        return grid.resampling.to_frame(total, needed, box)


def predict_tiled(
    predict: Callable[[np.ndarray, int], np.ndarray], frame: np.ndarray, tile: int, overlap: int
) -> np.ndarray:
    """Apply a function to a frame in memory, tile by tile.

    Parameters
    ----------
    predict : callable
        Maps ``(..., h, w)`` float32 and the tile's number to ``(K, h, w)`` float32.
    frame : ndarray
        ``(..., H, W)`` float32.
    tile, overlap : int
        In pixels, see `plan_axis`.

    Returns
    -------
    ndarray
        ``(K, H, W)`` float32.
    """
    height, width = frame.shape[-2:]
    whole = Box.whole((height, width))
    grid = TileGrid(Resampling((height, width), whole), whole, tile, overlap)
    mosaic = Mosaic(grid, np.zeros(grid.shape, bool), {})
    result: np.ndarray | None = None
    for number, place in enumerate(np.ndindex(*grid.shape)):
        pixels = np.ascontiguousarray(frame[..., *grid.tile_box(place).slices])
        for patch in mosaic.add(place, predict(pixels, number)):
            if result is None:
                result = np.empty((len(patch.values), height, width), np.float32)
            result[:, *patch.box.slices] = patch.values
    assert result is not None
    return result
