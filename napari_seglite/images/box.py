"""A rectangle of pixels in a frame."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle of pixels in a frame; `bottom` and `right` lie just outside.

    Attributes
    ----------
    top, left, bottom, right : int
        In pixels of the frame.
    """

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Box:
        """Return the box of a whole frame of this height and width."""
        return cls(0, 0, *shape)

    @property
    def rows(self) -> slice:
        """Rows, from top to bottom."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """Columns, from left to right."""
        return slice(self.left, self.right)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index a frame with."""
        return self.rows, self.columns

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    def grown(self, margin: int, shape: tuple[int, int]) -> Box:
        """Return a box that is larger by a margin on every side, as far as the frame reaches."""
        height, width = shape
        return Box(
            max(self.top - margin, 0),
            max(self.left - margin, 0),
            min(self.bottom + margin, height),
            min(self.right + margin, width),
        )

    def middle(self, side: int) -> Box:
        """Return the middle of the box, of no more than `side` pixels either way."""
        y, x, half = (self.top + self.bottom) // 2, (self.left + self.right) // 2, side // 2
        return Box(
            max(self.top, y - half),
            max(self.left, x - half),
            min(self.bottom, y + half),
            min(self.right, x + half),
        )

    def within(self, outer: Box) -> Box:
        """Return the same pixels counted from the corner of an outer box."""
        y, x = outer.top, outer.left
        return Box(self.top - y, self.left - x, self.bottom - y, self.right - x)
