"""The region of interest of an image, to which segmentation is limited."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import ImageError
from .box import Box

Vertex = tuple[float, float]


@dataclass(frozen=True)
class Region:
    """A region of interest made of polygons: all pixels whose centre lies in one of them.

    Attributes
    ----------
    polygons : tuple of tuple of (float, float)
        Vertices ``(y, x)`` in pixels of the frame; the centre of the first pixel is ``(0, 0)``.

    Raises
    ------
    ImageError
        If there is no polygon, a polygon has fewer than three vertices, or a vertex is not finite.
    """

    polygons: tuple[tuple[Vertex, ...], ...]

    def __post_init__(self) -> None:
        if not self.polygons or any(len(polygon) < 3 for polygon in self.polygons):
            raise ImageError("A region needs at least one polygon, each of three vertices or more.")
        if not all(math.isfinite(n) for p in self.polygons for vertex in p for n in vertex):
            raise ImageError("The vertices of a region must be finite numbers.")

    @classmethod
    def rectangle(cls, top: float, left: float, bottom: float, right: float) -> Region:
        """Return the region of the rows ``top:bottom`` and the columns ``left:right``.

        Parameters
        ----------
        top, left, bottom, right : float
            In pixels; `bottom` and `right` lie just outside.
        """
        a, b, c, d = top - 0.5, left - 0.5, bottom - 0.5, right - 0.5
        return cls((((a, b), (a, d), (c, d), (c, b)),))

    @classmethod
    def parse(cls, text: str) -> Region:
        """Read ``top,left,bottom,right``, or polygons written as ``y,x y,x y,x; y,x …``.

        Raises
        ------
        ImageError
            If the text is neither.
        """
        try:
            polygons = [
                [tuple(float(n) for n in vertex.split(",")) for vertex in polygon.split()]
                for polygon in text.split(";")
            ]
            if len(polygons) == 1 and len(polygons[0]) == 1:
                top, left, bottom, right = polygons[0][0]
                if bottom <= top or right <= left:
                    raise ImageError(
                        f"The region {text} is empty: bottom must be more than top, and right more "
                        "than left."
                    )
                return cls.rectangle(top, left, bottom, right)
            return cls(tuple(tuple((y, x) for y, x in polygon) for polygon in polygons))
        except (ValueError, TypeError):
            raise ImageError(
                f"{text!r} is not a region: write top,left,bottom,right in pixels, "
                "or the vertices of a polygon, such as 0,0 0,50 40,25."
            ) from None

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        (top, left), *_, (bottom, _) = self.polygons[0]
        right = self.polygons[0][1][1]
        edges = (top + 0.5, left + 0.5, bottom + 0.5, right + 0.5)
        if self == Region.rectangle(*edges):
            return ",".join(f"{n:.9g}" for n in edges)
        return "; ".join(" ".join(f"{y:.9g},{x:.9g}" for y, x in p) for p in self.polygons)

    def box(self, shape: tuple[int, int]) -> Box:
        """Return the smallest box that contains the region, in a frame of this height and width.

        Raises
        ------
        ImageError
            If the region lies outside the frame.
        """
        vertices = np.array([vertex for polygon in self.polygons for vertex in polygon])
        begin = np.maximum(np.ceil(vertices.min(0)), 0).astype(int)
        end = np.minimum(np.floor(vertices.max(0)) + 1, shape).astype(int)
        if (begin >= end).any():
            height, width = shape
            raise ImageError(f"The region lies outside the image of {width} × {height} pixels.")
        return Box(int(begin[0]), int(begin[1]), int(end[0]), int(end[1]))

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """Return a boolean mask of the region, of the shape of its `box`."""
        from skimage.draw import polygon2mask

        box = self.box(shape)
        inside = np.zeros(box.shape, bool)
        for polygon in self.polygons:
            inside |= polygon2mask(inside.shape, np.array(polygon) - (box.top, box.left))
        return inside


def region_of(text: str | None, shape: tuple[int, int]) -> Region:
    """Return the region of a request.

    Parameters
    ----------
    text : str or None
        As `Region.parse` reads it; the whole frame if None or empty.
    shape : tuple of int
        Height and width of a frame.

    Raises
    ------
    ImageError
        If the text names no region.
    """
    return Region.parse(text) if text else Region.rectangle(0, 0, *shape)
