"""Checks of a TIFF against its own size, before anything is read or allocated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ImageError
from .limits import BEST_RATIO, check_in_memory

# How far a compression can shrink constant pixels; the key is the TIFF's number for it.
_RATIOS = {1: 1.0, 5: 1500.0, 8: BEST_RATIO, 32946: BEST_RATIO, 32773: 130.0}
_OTHER_RATIO = 40_000.0
# Formats of slides, whose empty tiles are not stored.
_SPARSE = ("svs", "ndpi", "bif", "scn", "qpi", "philips", "avs")


def check_text(text: str) -> None:
    """Raise `ImageError` if a description in XML defines entities, which can grow without end."""
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise ImageError("its metadata define XML entities, which no program needs there.")


def check_imagej(tiff: Any, series: Any, mixed: bool) -> None:
    """Raise `ImageError` if an ImageJ file holds fewer images than its description says.

    Parameters
    ----------
    tiff, series
        The open file and its image.
    mixed : bool
        Whether there are pages of different size or kind.
    """
    said = tiff.imagej_metadata
    if not said or series.kind == "ome":
        return
    counts = [int(said.get(name, 1)) for name in ("frames", "slices", "channels")]
    page = tiff.pages.first
    planes = math.prod(series.shape) // max(page.imagelength * page.imagewidth, 1)
    if min(counts) < 1 or math.prod(counts) > planes:
        raise ImageError(
            f"its description says {math.prod(counts):,} images, and the file holds {planes:,}: "
            "it is incomplete."
        )
    if mixed and series.kind == "imagej":
        raise ImageError("its description says one stack, and its pages differ in size or kind.")


def check_series(series: Any) -> int:
    """Raise `ImageError` if a file does not hold all pixels of a series.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
        A level of an image.

    Returns
    -------
    int
        Number of tiles that are not stored, as slides do with empty ones.
    """
    stored = series._pages  # one page alone may stand for all of a contiguous series
    missing = [k for k, page in enumerate(stored, start=1) if page is None]
    if missing:
        raise ImageError(
            f"{len(missing):,} of its {len(stored):,} images are not there, the first is number "
            f"{missing[0]:,}: the file is incomplete, or a file of its set is missing."
        )
    first = series.keyframe
    _check_claim(first)
    if len(stored) == 1 and math.prod(series.shape) > first.size:
        offset, there = stored[0].dataoffsets[0], stored[0].parent.filehandle.size
        if offset + series.nbytes > there:
            held = max(there - offset, 0) // max(first.nbytes, 1)
            raise ImageError(
                f"it should hold {series.nbytes // max(first.nbytes, 1):,} images and holds "
                f"{held:,}: the file is incomplete."
            )
        return 0
    empty = 0
    for number, page in enumerate(stored, start=1):
        empty += _check_page(page, first, number)
    return empty


def _check_claim(page: Any) -> None:
    """Check the size of a page and of its strips or tiles."""
    segments = math.prod(page.chunked)
    sizes = " x ".join(map(str, page.shape))
    if len(page.dataoffsets) < segments or len(page.databytecounts) < segments:
        raise ImageError(
            f"it claims pages of {sizes} pixels and lists {len(page.dataoffsets):,} of their "
            f"{segments:,} parts: the file is damaged or incomplete."
        )
    check_in_memory(page.chunks, page.dtype or np.uint8, "Save it in tiles or smaller strips.")


def _check_page(page: Any, first: Any, number: int) -> int:
    """Check that a page's strips or tiles are in the file; return how many are not stored."""
    offsets = np.asarray(page.dataoffsets, np.float64)
    counts = np.asarray(page.databytecounts, np.float64)
    kept = counts > 0
    size = page.parent.filehandle.size
    if not offsets.size or (offsets + counts)[kept].max(initial=0) > size:
        raise ImageError(
            f"the pixels of page {number:,} should reach to byte "
            f"{int((offsets + counts).max(initial=0)):,}, and the file has {size:,}: it is "
            "incomplete."
        )
    sparse = any(getattr(page.parent, f"is_{kind}") for kind in _SPARSE)
    if not kept.all() and not (first.is_tiled or first.is_gdal or sparse):
        raise ImageError(
            f"{int((~kept).sum()):,} of the {kept.size:,} strips of page {number:,} are empty: the "
            "file is incomplete."
        )
    bits = first.bitspersample if isinstance(first.bitspersample, int) else 8
    ratio = _RATIOS.get(int(first.compression), _OTHER_RATIO) * (3 if first.is_subsampled else 1)
    need = math.prod(first.shape) * bits / 8 * kept.mean()
    if need > counts[kept].sum() * ratio + 4096:
        sizes = " x ".join(map(str, first.shape))
        raise ImageError(
            f"page {number:,} claims {sizes} pixels and stores {int(counts.sum()):,} bytes for "
            "them: the file is damaged or incomplete."
        )
    return int((~kept).sum())
