"""What every reader of image files returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..images import LETTERS, ImageAxes, guess_axes

# What files call a micrometre.
_MICRO = dict.fromkeys(("micron", "microns", "µm", "μm", "\\u00B5m", "micrometer"), "um")
_UNITS = {**_MICRO, "millimeter": "mm", "nanometer": "nm"}


@dataclass(frozen=True)
class ImageFile:
    """An image and what its file says about it.

    Attributes
    ----------
    array : array
        The pixels, the finest level. NumPy, or something of a large file that reads only what is
        asked for.
    axes : ImageAxes
        What its axes are.
    spacing : tuple of float
        Size of a pixel along every axis of its labels, in `unit`; 1 where unknown.
    unit : str
        ``"pixel"`` where unknown.
    levels : tuple of array
        All levels of a multiscale image, the finest first; else `array` alone.
    """

    array: Any
    axes: ImageAxes
    spacing: tuple[float, ...]
    unit: str
    levels: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", self.levels or (self.array,))

    def spacing_at(self, level: int) -> tuple[float, ...]:
        """Return the size of a pixel of a level."""
        finest, coarse = (self.axes.label_shape(self.levels[k].shape) for k in (0, level))
        return tuple(s * a / b for s, a, b in zip(self.spacing, finest, coarse, strict=True))


def describe(
    levels: list[Any], letters: str, spacing: dict[str, float], unit: str | None
) -> ImageFile:
    """Put together an image whose file names its axes by letters, known or not.

    Parameters
    ----------
    levels : list of array
        The finest first.
    letters : str
        One for each axis, any case.
    spacing : dict
        Size of a pixel by upper-case letter, where the file says so.
    unit : str or None
        Of the spacing.

    Raises
    ------
    ImageError
        If the image has too many axes of unknown meaning.
    """
    letters = letters.upper()
    named = set(letters) <= set(LETTERS) and len(set(letters)) == len(letters)
    axes = ImageAxes(letters) if named else guess_axes(tuple(levels[0].shape))
    sizes = tuple(float(spacing.get(axis) or 1.0) for axis in axes.labels)
    unit = _UNITS.get(unit, unit) if unit and spacing else "pixel"
    return ImageFile(levels[0], axes, sizes, unit or "pixel", tuple(levels))
