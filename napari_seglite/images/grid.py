"""Where the pixels of labels lie: their size along each axis, and the place of the first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .axes import ImageAxes
from .units import UNKNOWN, canonical_unit, convert

# A size beyond these, in whatever unit, is none, and a volume of such pixels would be infinite.
_SMALLEST, _LARGEST = 1e-100, 1e100


def is_size(value: float | None) -> bool:
    """Whether a number can be the size of a pixel: finite, positive and not absurd."""
    return value is not None and _SMALLEST <= float(value) <= _LARGEST


@dataclass(frozen=True, eq=False)
class Grid:
    """The axes of labels, with the size of a pixel along each and the place of the first pixel.

    Attributes
    ----------
    axes : str
        Letters as in `ImageAxes`, without C.
    spacing : tuple of float
        Size of a pixel along each axis, or the time between two frames; 1 where unknown.
    units : tuple of str
        Of the spacing along each axis; ``"pixel"`` where unknown. Z, Y and X share one unit unless
        it cannot be converted.
    origin : tuple of float
        Place of the middle of the first pixel along each axis, in the axis's unit.
    affine : ndarray or None
        ``(4, 4)`` float64, from the indices ``(x, y, z, 1)`` of a voxel to millimetres towards the
        patient's right, front and head (RAS+, as in NIfTI), where the file says so.
    """

    axes: str
    spacing: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    origin: tuple[float, ...] = ()
    affine: np.ndarray | None = field(default=None)

    def __post_init__(self) -> None:
        count = len(self.axes)
        for name, default in (("spacing", 1.0), ("units", UNKNOWN), ("origin", 0.0)):
            object.__setattr__(self, name, tuple(getattr(self, name)) or (default,) * count)
            if len(getattr(self, name)) != count:
                raise ValueError(f"{self.axes} has {count} axes, not {len(getattr(self, name))}.")

    @classmethod
    def of(
        cls,
        axes: str,
        sizes: Mapping[str, float],
        units: Mapping[str, str] | str | None,
        origin: Mapping[str, float] | None = None,
        affine: np.ndarray | None = None,
    ) -> Grid:
        """Return a grid from what a file states about some of the axes.

        Parameters
        ----------
        axes : str
            Of the labels.
        sizes : mapping
            Size of a pixel by letter, as far as it is known. What is not `is_size` is unknown.
        units : mapping, str or None
            By letter, in any spelling, or one for Z, Y and X. Z and Y are converted to that of X,
            or all to that of Y or Z where X has none.
        origin : mapping, optional
            Place of the first pixel by letter, in the units given.
        affine : ndarray, optional
            See `affine`.
        """
        given = dict.fromkeys("ZYX", units) if isinstance(units, str) else dict(units or {})
        named = {axis: canonical_unit(given.get(axis) or UNKNOWN) for axis in axes}
        common = next((named[a] for a in "XYZ" if named.get(a, UNKNOWN) != UNKNOWN), UNKNOWN)
        spacing, names, places = [], [], []
        for axis in axes:
            size, place = sizes.get(axis), (origin or {}).get(axis, 0.0)
            if size is None or not is_size(size):
                spacing.append(1.0)
                names.append(UNKNOWN)
                places.append(0.0)
                continue
            # A size without a unit states a proportion, as that of ImageJ's voxels does.
            factor, unit = 1.0, named[axis]
            if axis in "ZYX" and unit not in (common, UNKNOWN):
                converted = convert(1.0, unit, common)
                if converted is not None and is_size(size * converted):
                    factor, unit = converted, common
            spacing.append(float(size) * factor)
            names.append(unit)
            places.append(float(place) * factor if math.isfinite(place * factor) else 0.0)
        return cls(axes, tuple(spacing), tuple(names), tuple(places), affine)

    @property
    def unit(self) -> str:
        """The unit of X, and of Y and Z unless theirs cannot be converted."""
        return self.units[self.axes.index("X")]

    @property
    def known(self) -> bool:
        """Whether the size of a pixel along X is known."""
        return self.unit != UNKNOWN

    def size(self, axis: str) -> float:
        """Return the size of a pixel along an axis, in its unit; 1 if there is no such axis."""
        return self.spacing[self.axes.index(axis)] if axis in self.axes else 1.0

    def coarser(self, factors: Sequence[float]) -> Grid:
        """Return the grid of an image of which each pixel covers several of this one's.

        Parameters
        ----------
        factors : sequence of float
            Pixels that one covers, along each axis.
        """
        steps = np.asarray(factors, float)
        spacing = np.asarray(self.spacing) * steps
        origin = np.asarray(self.origin) + (steps - 1) / 2 * np.asarray(self.spacing)
        affine = self.affine
        if affine is not None:
            by_axis = dict(zip(self.axes, steps, strict=True))
            scale = np.diag([*(by_axis.get(axis, 1.0) for axis in "XYZ"), 1.0])
            scale[:3, 3] = [(by_axis.get(axis, 1.0) - 1) / 2 for axis in "XYZ"]
            affine = affine @ scale
        return replace(
            self, spacing=tuple(spacing.tolist()), origin=tuple(origin.tolist()), affine=affine
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the grid as plain JSON data; see `from_dict`."""
        data: dict[str, Any] = {
            "axes": self.axes,
            "spacing": list(self.spacing),
            "units": list(self.units),
            "origin": list(self.origin),
        }
        return data if self.affine is None else {**data, "affine": self.affine.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Grid:
        """Return the grid that `as_dict` described.

        Raises
        ------
        ValueError, TypeError, KeyError
            If the data describe none.
        """
        ImageAxes(str(data["axes"]))
        affine = data.get("affine")
        if affine is not None:
            affine = np.asarray(affine, float)
            if affine.shape != (4, 4) or not np.isfinite(affine).all():
                raise ValueError("the affine is no matrix of 4 x 4 numbers")
        spacing, origin = (tuple(map(float, data[name])) for name in ("spacing", "origin"))
        if not np.isfinite([*spacing, *origin]).all() or min(spacing) <= 0:
            raise ValueError(f"pixels have no size of {spacing} and no place at {origin}")
        units = tuple(canonical_unit(str(unit)) for unit in data["units"])
        return cls(str(data["axes"]), spacing, units, origin, affine)
