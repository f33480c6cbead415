"""What of a segmentation is done: tiles, and the pixels that they finish."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

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
