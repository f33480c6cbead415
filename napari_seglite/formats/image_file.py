"""An image as read from a file, with its axes and pixel size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..images import LETTERS, ArrayLike, ImageAxes, guess_axes

# Names that files use for units, and ours.
_MICRO = dict.fromkeys(("micron", "microns", "µm", "μm", "\\u00B5m", "micrometer"), "um")
_UNITS = {**_MICRO, "millimeter": "mm", "nanometer": "nm"}


@dataclass(frozen=True)
class ImageFile:
    """An image with its axes and pixel size.

    Attributes
    ----------
    array : ArrayLike
        The pixels of the finest level: NumPy, or for large files a Zarr or dask array that reads
        only the pixels that are indexed.
    axes : ImageAxes
        Of the array.
    spacing : tuple of float
        Size of a pixel along every axis of the image's labels, in `unit`; 1 where unknown.
    unit : str
        Of the spacing; ``"pixel"`` where unknown.
    levels : tuple of ArrayLike
        All levels of a multiscale image, the finest first; otherwise `array` alone.
    """

    array: ArrayLike
    axes: ImageAxes
    spacing: tuple[float, ...]
    unit: str
    levels: tuple[ArrayLike, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", self.levels or (self.array,))

    def spacing_at(self, level: int) -> tuple[float, ...]:
        """Return the size of a pixel of a level along every axis of its labels, in `unit`."""
        finest, coarse = (self.axes.label_shape(self.levels[k].shape) for k in (0, level))
        return tuple(s * a / b for s, a, b in zip(self.spacing, finest, coarse, strict=True))

    @classmethod
    def from_levels(
        cls,
        levels: Sequence[ArrayLike],
        letters: str,
        spacing: Mapping[str, float],
        unit: str | None,
    ) -> ImageFile:
        """Return an image whose file names its axes by letters, known or not.

        Parameters
        ----------
        levels : sequence of array
            The finest first; a single one for an image without levels.
        letters : str
            One for each axis, any case. If any is unknown or repeated, the axes are guessed from
            the shape.
        spacing : mapping
            Size of a pixel by upper-case letter, as far as the file gives it.
        unit : str or None
            Of the spacing.

        Raises
        ------
        ImageError
            If the image has too many axes of unknown meaning.
        """
        letters = letters.upper()
        known = set(letters) <= set(LETTERS) and len(set(letters)) == len(letters)
        axes = ImageAxes(letters) if known else guess_axes(tuple(levels[0].shape))
        sizes = tuple(float(spacing.get(axis) or 1.0) for axis in axes.labels)
        unit = _UNITS.get(unit, unit) if unit and spacing else "pixel"
        return cls(levels[0], axes, sizes, unit or "pixel", tuple(levels))
