"""An image of an annotation project, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import Any

import numpy as np

from ..images import Corrections, ImageAxes
from .journal import Tile

# Side of the parts that labels are saved in.
CHUNK = 256
# Names of the classes as long as nobody gave them any.
UNNAMED = ("background", "object")
# Of classes: told apart by colour-blind people too (Okabe and Ito, 2008).
COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2")
BACKGROUND = "#9aa4b0"


@dataclass
class ProjectImage:
    """An image of a project.

    Attributes
    ----------
    key : str
        Its name in the project, and its folder's.
    name : str
        What the user calls it.
    path : str
        The file it was read from; empty if it never had one.
    axes : ImageAxes
        Of the image.
    corrections : Corrections
        What was corrected.
    shape : tuple of int
        Of the labels.
    labels : str
        Their folder's name.
    checkpoint : str
        What proposed the labels.
    channels : tuple of int or None
        Which channels the checkpoint saw.
    spacing, unit : tuple of float, str
        Size of a pixel along the axes of the labels.
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

    def chunks(self, corner: Sequence[int], end: Sequence[int]) -> Iterator[Tile]:
        """Return the chunks that a box of its labels lies in, without pixels."""
        sides = [CHUNK if axis in "YX" else 1 for axis in self.axes.labels]
        starts = [
            range(max(0, a) // side * side, min(b, n), side)
            for a, b, side, n in zip(corner, end, sides, self.shape, strict=True)
        ]
        for place in product(*starts):
            sizes = [min(s, n - p) for s, n, p in zip(sides, self.shape, place, strict=True)]
            yield Tile(self.key, place, np.broadcast_to(np.uint8(0), sizes))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        plain = {k: v for k, v in vars(self).items() if k not in ("axes", "corrections")}
        return {**plain, "axes": self.axes.order, "corrections": self.corrections.as_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ProjectImage:
        """Read what `as_dict` wrote."""
        known = {k: v for k, v in data.items() if k in cls.__dataclass_fields__}
        known["axes"] = ImageAxes(data["axes"])
        known["corrections"] = Corrections.from_dict(data["corrections"])
        known["shape"] = tuple(map(int, data["shape"]))
        known["spacing"] = tuple(map(float, data.get("spacing", ())))
        if data.get("channels") is not None:
            known["channels"] = tuple(map(int, data["channels"]))
        return cls(**known)


@dataclass(frozen=True)
class ClassList:
    """What holds for all images of a project.

    Attributes
    ----------
    class_names : tuple of str
        Of what is painted, the background first.
    class_colours : tuple of str
        As ``"#rrggbb"``, for as many of them as were given one.
    created : str
        When (ISO 8601, UTC).
    """

    class_names: tuple[str, ...] = UNNAMED
    class_colours: tuple[str, ...] = ()
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def named(self) -> bool:
        """Whether anybody named the classes."""
        return self.class_names != UNNAMED

    @property
    def given_names(self) -> tuple[str, ...] | None:
        """The names of the classes, as a training request takes them; None if nobody gave any."""
        return self.class_names if self.named else None

    def colour(self, number: int) -> str:
        """Return the colour of a class; 0 is the background."""
        if number < len(self.class_colours):
            return self.class_colours[number]
        return COLOURS[(number - 1) % len(COLOURS)] if number else BACKGROUND
