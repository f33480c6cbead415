"""A rectangle of pixels in a frame."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle of pixels in a frame.

    Attributes
    ----------
    top, left : int
        First row and column.
    bottom, right : int
        The row and column after the last.
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
        """Rows and columns, as the index of a frame."""
        return self.rows, self.columns

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    @property
    def first_pixel(self) -> Box:
        """The box of the pixel in the first row and column."""
        return Box(self.top, self.left, self.top + 1, self.left + 1)

    def holds(self, inner: Box) -> bool:
        """Whether another box lies in this one."""
        return (
            self.top <= inner.top
            and self.left <= inner.left
            and inner.bottom <= self.bottom
            and inner.right <= self.right
        )

    def meets(self, other: Box) -> bool:
        """Whether the boxes have pixels in common."""
        return (
            self.top < other.bottom
            and other.top < self.bottom
            and self.left < other.right
            and other.left < self.right
        )

    def joined(self, other: Box) -> Box:
        """Return the box around both boxes."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def grown(self, margin: int, shape: tuple[int, int]) -> Box:
        """Return the box enlarged by a margin on every side and clipped to the frame.

        Parameters
        ----------
        margin : int
            In pixels.
        shape : tuple of int
            Height and width of the frame.
        """
        height, width = shape
        return Box(
            max(self.top - margin, 0),
            max(self.left - margin, 0),
            min(self.bottom + margin, height),
            min(self.right + margin, width),
        )

    def middle(self, side: int) -> Box:
        """Return the middle of the box, at most `side` pixels high and wide."""
        y, x, half = (self.top + self.bottom) // 2, (self.left + self.right) // 2, side // 2
        return Box(
            max(self.top, y - half),
            max(self.left, x - half),
            min(self.bottom, y + half),
            min(self.right, x + half),
        )

    def within(self, outer: Box) -> Box:
        """Return the box in the coordinates of an outer box, relative to its corner."""
        y, x = outer.top, outer.left
        return Box(self.top - y, self.left - x, self.bottom - y, self.right - x)

    def moved(self, rows: int, columns: int) -> Box:
        """Return the box moved down and to the right."""
        top, left, bottom, right = self
        return Box(top + rows, left + columns, bottom + rows, right + columns)
