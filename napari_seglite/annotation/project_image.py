"""An image of an annotation project, and the classes of a project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import Any

import numpy as np

from ..images import Corrections, Grid, ImageAxes
from .journal import Tile

# Side in pixels of the chunks in which labels are saved.
CHUNK = 256
# Names of the classes of a project in which the user has not named any.
DEFAULT_NAMES = ("background", "object")
# Of classes; colour-blind people can tell them apart, too (Okabe and Ito, 2008).
COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2")
BACKGROUND = "#9aa4b0"


@dataclass
class ProjectImage:
    """An image of a project.

    The thread that saves reads an image while the user interface changes it. Every attribute is
    therefore an immutable value that is assigned in one step, and none depends on another one
    changing at the same time. The user interface assigns `corrections` and `channels`, and calls
    `Autosave.index_changed` afterwards; the project assigns `key`, `path`, `shape` and `labels`;
    the rest stays as it was when the image was added.

    Attributes
    ----------
    key : str
        Its id in the project and the name of its folder; empty before it has one.
    name : str
        Its name for the user.
    path : str
        The file it was read from, or its copy relative to the project's folder; empty if there is
        neither.
    axes : ImageAxes
        Of the image.
    corrections : Corrections
        Its corrected regions.
    shape : tuple of int
        Of the labels.
    labels : str
        Name of the labels' folder.
    checkpoint : str
        Id of the checkpoint that predicted the labels; empty if none did.
    channels : tuple of int or None
        The channels that the checkpoint read; None for all.
    spacing : tuple of float
        Size of a pixel along the axes of the labels; empty if unknown.
    unit : str
        Of the spacing along Z, Y and X.
    units : tuple of str
        Of the spacing along every axis; empty if `unit` is all that is known, as in projects of
        version 0.1.
    origin : tuple of float
        Place of the first pixel along every axis, in its unit; empty for 0.
    """

    key: str
    name: str
    path: str
    axes: ImageAxes
    corrections: Corrections
    shape: tuple[int, ...] = ()
    labels: str = "labels.zarr"
    checkpoint: str = ""
    channels: tuple[int, ...] | None = None
    spacing: tuple[float, ...] = ()
    unit: str = "pixel"
    units: tuple[str, ...] = ()
    origin: tuple[float, ...] = ()

    @property
    def grid(self) -> Grid:
        """Where the pixels of the labels lie."""
        axes = self.axes.labels
        sizes = dict(zip(axes, self.spacing, strict=False))  # empty if unknown
        places = dict(zip(axes, self.origin, strict=False))
        units = dict(zip(axes, self.units, strict=True)) if self.units else self.unit
        return Grid.of(axes, sizes, units, places)

    def chunks(self, corner: Sequence[int], end: Sequence[int]) -> Iterator[Tile]:
        """Yield the chunks of its labels that a box overlaps.

        Parameters
        ----------
        corner, end : sequence of int
            First index of the box along each axis, and the index after the last.

        Yields
        ------
        Tile
            A chunk with zeros, which take no memory, in place of its labels.
        """
        sides = [CHUNK if axis in "YX" else 1 for axis in self.axes.labels]
        starts = [
            range(max(0, a) // side * side, min(b, n), side)
            for a, b, side, n in zip(corner, end, sides, self.shape, strict=True)
        ]
        for first in product(*starts):
            sizes = [min(s, n - a) for s, n, a in zip(sides, self.shape, first, strict=True)]
            yield Tile(self.key, first, np.broadcast_to(np.uint8(0), sizes))

    def as_dict(self) -> dict[str, Any]:
        """Return the image as plain JSON data; each attribute is read once."""
        plain = {k: v for k, v in vars(self).items() if k not in ("axes", "corrections")}
        return {**plain, "axes": self.axes.order, "corrections": self.corrections.as_dict()}


@dataclass(frozen=True)
class ClassList:
    """The classes of a project, which are the same for all its images.

    Attributes
    ----------
    class_names : tuple of str
        The background first.
    class_colours : tuple of str
        As ``"#rrggbb"``, for the first classes; the others have default colours.
    created : str
        When the project was created, ISO 8601 in UTC.
    """

    class_names: tuple[str, ...] = DEFAULT_NAMES
    class_colours: tuple[str, ...] = ()
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def named(self) -> bool:
        """Whether the classes have other names than the default ones."""
        return self.class_names != DEFAULT_NAMES

    @property
    def given_names(self) -> tuple[str, ...] | None:
        """The names of the classes for a training request; None for the default names."""
        return self.class_names if self.named else None

    def colour(self, number: int) -> str:
        """Return the colour of a class as ``"#rrggbb"``; 0 is the background."""
        if number < len(self.class_colours):
            return self.class_colours[number]
        return COLOURS[(number - 1) % len(COLOURS)] if number else BACKGROUND
