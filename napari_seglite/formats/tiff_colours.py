"""What the pixels of a TIFF mean: grey values, negatives, colours, inks or indices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import ArrayLike
from .colours import cmyk_to_rgb, is_grey, is_ramp, lab_to_rgb, ycbcr_to_rgb

# TIFF's numbers of what pixels mean.
WHITE_IS_ZERO, RGB, PALETTE, INKS, YCBCR = 0, 2, 3, 5, 6
LAB = {8: "CIE", 9: "ICC", 10: "CIE"}
_ALPHA = (1, 2)
PLANES = 2  # of PlanarConfiguration
_JPEG = (6, 7, 33007, 34892)


@dataclass(frozen=True, eq=False)
class Shown:
    """Levels of an image as they are displayed.

    Attributes
    ----------
    levels : tuple of ArrayLike
        The finest first.
    letters : str
        Of their axes; S for samples such as colours.
    rgb : bool
        Whether the samples are red, green and blue.
    notices : tuple of str
        What a user should know, each a sentence.
    """

    levels: tuple[ArrayLike, ...]
    letters: str
    rgb: bool = False
    notices: tuple[str, ...] = ()

    def noting(self, notice: str) -> Shown:
        """Return the same with one more notice."""
        return replace(self, notices=(*self.notices, notice))


def displayed(
    page: Any, levels: tuple[ArrayLike, ...], letters: str, labels: bool, imagej: bool
) -> Shown:
    """Return an image as it is displayed, or its labels as they are stored.

    Parameters
    ----------
    page : tifffile.TiffPage
        Says what the pixels mean.
    levels : tuple of ArrayLike
        As they are stored.
    letters : str
        Of their axes.
    labels : bool
        Whether the image is read as labels.
    imagej : bool
        Whether ImageJ wrote it.
    """
    shown = Shown(levels, letters)
    meaning = int(page.photometric)
    if meaning == PALETTE and page.colormap is not None and "S" not in letters:
        return shown if labels else _through_palette(shown, page.colormap, imagej)
    if meaning == WHITE_IS_ZERO and "S" not in letters:
        return _positive(shown, page, labels, imagej)
    if "S" not in letters:
        return shown
    extra = tuple(int(kind) for kind in page.extrasamples or ())
    # Programs that guess write a stack of four slices as planes of red, green, blue and alpha; no
    # picture with transparency is stored in planes.
    planes = int(page.planarconfig or 1) == PLANES
    if any(kind in _ALPHA for kind in extra) and not planes:
        shown = _opaque(shown, len(extra), extra)
    count = _samples(shown)
    if meaning == RGB and count == 3:
        return replace(shown, rgb=True)
    if meaning == INKS and count == 4 and _inkset(page) == 1:
        return _colours(shown, cmyk_to_rgb, "The inks of this picture are shown as colours.")
    if meaning == YCBCR and count == 3:
        if int(page.compression) in _JPEG:  # its decoder gives red, green and blue
            return replace(shown, rgb=True)
        return _colours(shown, ycbcr_to_rgb)
    if meaning in LAB and count == 3:
        kind = LAB[meaning]
        return _colours(shown, lambda values: lab_to_rgb(values, kind))
    return shown


def _samples(shown: Shown) -> int:
    """Return the number of samples; 1 if there is no axis of them."""
    return shown.levels[0].shape[shown.letters.index("S")] if "S" in shown.letters else 1


def _inkset(page: Any) -> int:
    return int(page.tags["InkSet"].value) if "InkSet" in page.tags else 1


def _positive(shown: Shown, page: Any, labels: bool, imagej: bool) -> Shown:
    """Return an image in which 0 is white as it is displayed."""
    dtype = shown.levels[0].dtype
    if labels and not _is_mask(shown.levels[0], imagej):
        return shown.noting("In this file 0 is shown white; its numbers are taken as labels.")
    if dtype.kind == "b":
        converted = _each(shown, np.logical_not, dtype)
    elif dtype.kind == "u":
        bits = page.bitspersample if isinstance(page.bitspersample, int) else 8 * dtype.itemsize
        limit = dtype.type(2 ** min(bits, 8 * dtype.itemsize) - 1)
        converted = _each(shown, lambda values: limit - values, dtype)
    elif dtype.kind == "i":
        converted = _each(shown, np.invert, dtype)
    else:
        converted = _each(shown, np.negative, dtype)
    return replace(converted, letters=shown.letters).noting(
        "In this file 0 is white; it is read as it is displayed, bright where it looks bright."
    )


def _is_mask(array: ArrayLike, imagej: bool) -> bool:
    """Whether labels are a mask drawn in black and white, in which colours are what counts.

    ImageJ's masks are foreground where they are not 0, whatever way they are displayed. So are
    those of one bit: in black and white ink is what counts, and programs that save a boolean array
    as such a file store it as it is.
    """
    if imagej or array.dtype.kind != "u":
        return False
    first = np.asarray(array)
    return bool(np.isin(first, (first.min(), first.max())).all()) and first.max() > 1


def _through_palette(shown: Shown, palette: np.ndarray, imagej: bool) -> Shown:
    """Return the colours of indices, or grey values where all colours are grey."""
    colours = np.ascontiguousarray(palette.T)  # (N, 3) uint16
    if not (colours & 255).any():  # written by programs that shift 8 bits
        colours = (colours >> 8).astype(np.uint8)
    elif (colours % 257 == 0).all():
        colours = (colours // 257).astype(np.uint8)
    if imagej and is_ramp(colours):
        return shown.noting(
            "ImageJ shows this image in colours of a table; its intensities are read."
        )
    if is_grey(colours):
        grey = colours[:, 0]
        if grey.dtype == shown.levels[0].dtype and (grey == np.arange(len(grey))).all():
            return shown
        found = _each(shown, lambda indices: grey[indices], grey.dtype)
        return found.noting("The indices of this picture's palette are read as its grey values.")
    found = _each(shown, lambda indices: colours[indices], colours.dtype, new=3)
    return replace(found, letters=shown.letters + "S", rgb=True).noting(
        "The indices of this picture's palette are read as its colours."
    )


def _opaque(shown: Shown, extra: int, kinds: tuple[int, ...]) -> Shown:
    """Return an image without its declared alpha channels."""
    axis = shown.letters.index("S")
    count = _samples(shown)
    keep = [
        k for k in range(count) if k < count - extra or kinds[k - (count - extra)] not in _ALPHA
    ]
    alphas = [k for k in range(count) if k not in keep]
    first = shown.levels[0]
    where = (slice(None),) * axis
    levels, letters = [], shown.letters
    for level in shown.levels:
        lazy = level if isinstance(level, np.ndarray) else _dask(level)
        levels.append(lazy[(*where, keep[0] if len(keep) == 1 else slice(0, len(keep)))])
    if keep != list(range(len(keep))):
        raise ImageError("its transparency lies between its colours; save it without.")
    if len(keep) == 1:
        letters = letters.replace("S", "")
    found = replace(shown, levels=tuple(levels), letters=letters)
    if isinstance(first, np.ndarray):
        alpha = np.take(first, alphas, axis)
        if (alpha == alpha.flat[0]).all():
            return found
    return found.noting("The file's transparency (alpha channel) is left out.")


def _colours(shown: Shown, convert: Callable[[np.ndarray], np.ndarray], *notices: str) -> Shown:
    """Return an image whose samples are converted to red, green and blue, as the last axis."""
    axis = shown.letters.index("S")
    letters = shown.letters.replace("S", "") + "S"
    levels: list[ArrayLike] = []
    for level in shown.levels:
        if isinstance(level, np.ndarray):
            levels.append(convert(np.moveaxis(level, axis, -1)))
            continue
        import dask.array

        moved = dask.array.moveaxis(_dask(level), axis, -1).rechunk({-1: -1})
        chunks = (*moved.chunks[:-1], (3,))
        example = convert(np.zeros((1,) * (moved.ndim - 1) + moved.shape[-1:], moved.dtype))
        levels.append(moved.map_blocks(convert, dtype=example.dtype, chunks=chunks))
    return replace(
        shown, levels=tuple(levels), letters=letters, rgb=True, notices=shown.notices + notices
    )


def _each(
    shown: Shown, function: Callable[[Any], Any], dtype: np.dtype[Any], new: int = 0
) -> Shown:
    """Apply a function of pixels to all levels; it may add a last axis."""
    levels: list[ArrayLike] = []
    for level in shown.levels:
        if isinstance(level, np.ndarray):
            levels.append(function(level))
            continue
        lazy = _dask(level)
        more = {"new_axis": lazy.ndim, "chunks": (*lazy.chunks, (new,))} if new else {}
        levels.append(lazy.map_blocks(function, dtype=dtype, **more))
    return replace(shown, levels=tuple(levels))


def _dask(array: Any) -> Any:
    """Return a lazily read array as one of dask, which converts the pixels that are indexed."""
    import dask.array

    return array if isinstance(array, dask.array.Array) else dask.array.from_zarr(array)
