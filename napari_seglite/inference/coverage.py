"""What of a segmentation is done: tiles, and the pixels that they finish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..images import Box
from .mosaic import Place


@dataclass
class Tiles:
    """What is done of a pass.

    Attributes
    ----------
    done : ndarray
        ``(slabs, rows, columns)`` boolean: the computed tiles.
    waiting : dict
        For slabs in work, the values of tiles that unfinished pixels need.
    absent : dict
        For slabs that were looked through, the channels of the classes that are not in them.
    """

    done: np.ndarray
    waiting: dict[int, dict[Place, np.ndarray]] = field(default_factory=dict)
    absent: dict[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Coverage:
    """The finished cells of every frame; see `TileGrid` for cells.

    Attributes
    ----------
    shape : tuple of int
        Height and width of the segmented box.
    rows, columns : tuple of int
        Where the cells begin.
    cells : ndarray
        ``(frames, rows, columns)`` boolean: which are finished.
    """

    shape: tuple[int, int]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    cells: np.ndarray

    @classmethod
    def of(
        cls, shape: tuple[int, int], frames: int, finished: Sequence[tuple[int, Box]]
    ) -> Coverage:
        """Return the coverage of finished boxes, each with the position of its frame.

        Parameters
        ----------
        shape : tuple of int
            Height and width of the segmented box.
        frames : int
            Number of frames.
        finished : sequence
            What is finished.
        """
        boxes = [box for _, box in finished]
        rows = sorted({0, *(edge for b in boxes for edge in (b.top, b.bottom))} - {shape[0]})
        columns = sorted({0, *(edge for b in boxes for edge in (b.left, b.right))} - {shape[1]})
        cells = np.zeros((frames, len(rows), len(columns)), bool)
        for position, box in finished:
            top, bottom = np.searchsorted(rows, (box.top, box.bottom))
            left, right = np.searchsorted(columns, (box.left, box.right))
            cells[position, top:bottom, left:right] = True
        return cls(shape, tuple(rows), tuple(columns), cells)

    def mask(self, position: int, rows: slice, columns: slice) -> np.ndarray:
        """Return which pixels of a box of a frame are finished, boolean ``(h, w)``."""
        places = [
            np.searchsorted(begin, np.arange(edge.start, edge.stop), "right") - 1
            for begin, edge in ((self.rows, rows), (self.columns, columns))
        ]
        return np.asarray(self.cells[position][np.ix_(*places)])

    def frame(self, position: int) -> np.ndarray:
        """Return which pixels of a frame are finished, boolean of `shape`."""
        return self.mask(position, slice(0, self.shape[0]), slice(0, self.shape[1]))

    def boxes(self) -> list[tuple[int, Box]]:
        """Return the finished cells, each with the position of its frame; see `of`."""
        rows, columns = (*self.rows, self.shape[0]), (*self.columns, self.shape[1])
        return [
            (int(k), Box(rows[r], columns[c], rows[r + 1], columns[c + 1]))
            for k, r, c in np.argwhere(self.cells)
        ]

    @property
    def empty(self) -> bool:
        """Whether nothing is finished."""
        return not self.cells.any()

    @property
    def whole(self) -> np.ndarray:
        """Which frames are finished, boolean."""
        return np.asarray(self.cells.all((1, 2)))

    @property
    def share(self) -> float:
        """Finished share of all frames, 0 to 1."""
        heights, widths = (
            np.diff([*begin, end])
            for begin, end in zip((self.rows, self.columns), self.shape, strict=True)
        )
        pixels = self.cells * heights[:, None] * widths
        return float(pixels.sum() / (len(self.cells) * np.prod(self.shape)))

    def at(self, position: int) -> Coverage:
        """Return the coverage of a single frame."""
        return Coverage(self.shape, self.rows, self.columns, self.cells[position : position + 1])
