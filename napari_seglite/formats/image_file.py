"""An image as read from a file, with its axes and pixel size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..images import LETTERS, ArrayLike, Grid, ImageAxes, guess_axes, is_size


@dataclass(frozen=True, eq=False)
class ImageFile:
    """An image with its axes and pixel size, and what else its file says.

    Attributes
    ----------
    array : ArrayLike
        The pixels of the finest level: NumPy, or for large files a Zarr or dask array that reads
        only the pixels that are indexed.
    axes : ImageAxes
        Of the array.
    grid : Grid
        Where the pixels of the image's labels lie.
    levels : tuple of ArrayLike
        All levels of a multiscale image, the finest first; otherwise `array` alone.
    rgb : bool
        Whether the channels are the colours red, green and blue.
    channels : tuple of str
        Names of the channels; empty if the file gives none.
    scenes : tuple of str
        Names of all images in the file; empty if there is only one.
    scene : int
        Number of this one among them, from 0.
    notices : tuple of str
        What a user should know about how the file was read, each a sentence.
    guesses : tuple of str
        What the file does not say and had to be guessed: ``"axes"``.
    """

    array: ArrayLike
    axes: ImageAxes
    grid: Grid
    levels: tuple[ArrayLike, ...] = ()
    rgb: bool = False
    channels: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    scene: int = 0
    notices: tuple[str, ...] = field(default=())
    guesses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", self.levels or (self.array,))

    @property
    def spacing(self) -> tuple[float, ...]:
        """Size of a pixel along every axis of the image's labels; 1 where unknown."""
        return self.grid.spacing

    @property
    def units(self) -> tuple[str, ...]:
        """Of the spacing along every axis; ``"pixel"`` where unknown."""
        return self.grid.units

    @property
    def unit(self) -> str:
        """Of the spacing along X, and along Y and Z unless theirs cannot be converted."""
        return self.grid.unit

    def grid_at(self, level: int) -> Grid:
        """Return where the pixels of labels of a level lie."""
        finest, coarse = (self.axes.label_shape(self.levels[k].shape) for k in (0, level))
        return self.grid.coarser([a / b for a, b in zip(finest, coarse, strict=True)])

    def spacing_at(self, level: int) -> tuple[float, ...]:
        """Return the size of a pixel of a level along every axis of its labels."""
        return self.grid_at(level).spacing

    def noting(self, *notices: str) -> ImageFile:
        """Return the image with more notices."""
        return replace(self, notices=(*self.notices, *notices))

    @classmethod
    def from_levels(
        cls,
        levels: Sequence[ArrayLike],
        letters: str,
        sizes: Mapping[str, float] | None = None,
        units: Mapping[str, str] | str | None = None,
        *,
        origin: Mapping[str, float] | None = None,
        affine: np.ndarray | None = None,
        **more: Any,
    ) -> ImageFile:
        """Return an image whose file names its axes by letters, known or not.

        Axes of length 1 other than Y and X are dropped.

        Parameters
        ----------
        levels : sequence of array
            The finest first; a single one for an image without levels.
        letters : str
            One for each axis, any case; S counts as C. If any is unknown or repeated, the axes are
            guessed from the shape.
        sizes, units, origin, affine
            As for `Grid.of`.
        **more
            Other attributes.

        Raises
        ------
        ImageError
            If the image has too many axes of unknown meaning.
        """
        letters = letters.upper().replace("S", "C")
        if len(letters) == len(levels[0].shape):
            levels, letters = _without_single(levels, letters)
        known = set(letters) <= set(LETTERS) and len(set(letters)) == len(letters)
        if known and {"Y", "X"} <= set(letters):
            axes = ImageAxes(letters)
        else:
            axes = guess_axes(tuple(levels[0].shape), more.get("rgb") or None)
            more["guesses"] = (*more.get("guesses", ()), "axes")
        grid = Grid.of(axes.labels, sizes or {}, units, origin, affine)
        more["notices"] = (*more.get("notices", ()), *_impossible(sizes or {}, axes.labels))
        return cls(levels[0], axes, grid, tuple(levels), **more)


def _impossible(sizes: Mapping[str, float], axes: str) -> Iterator[str]:
    """Yield a sentence for each size that is none; 0 between frames is a usual word for unknown."""
    for axis in axes:
        size = sizes.get(axis)
        if size is not None and not is_size(size) and not (axis == "T" and size == 0):
            what = f"time of {size:g} between frames" if axis == "T" else f"pixel size of {size:g}"
            along = "" if axis == "T" else f" along {axis}"
            yield f"The file gives a {what}{along}; it is taken as unknown."


def _without_single(levels: Sequence[ArrayLike], letters: str) -> tuple[Sequence[ArrayLike], str]:
    """Drop the axes of length 1 that are neither Y nor X."""
    shape = levels[0].shape
    single = tuple(k for k, n in enumerate(shape) if n == 1 and letters[k] not in "YX")
    if not single:
        return levels, letters
    kept = "".join(letter for k, letter in enumerate(letters) if k not in single)
    return [_squeezed(level, single) for level in levels], kept


def _squeezed(array: ArrayLike, single: tuple[int, ...]) -> ArrayLike:
    if isinstance(array, np.ndarray):
        return array.squeeze(single)
    import dask.array

    lazy: Any = array
    if not isinstance(lazy, dask.array.Array):
        lazy = dask.array.from_zarr(lazy)
    return lazy.squeeze(single)  # type: ignore[no-any-return]
