"""Checks of a TIFF against its own size, before anything is read or allocated."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .limits import BEST_RATIO, check_in_memory

# How far a compression can shrink constant pixels; the key is the TIFF's number for it.
_RATIOS = {1: 1.0, 5: 1500.0, 8: BEST_RATIO, 32946: BEST_RATIO, 32773: 130.0}
_OTHER_RATIO = 40_000.0
# Bytes of a value, by TIFF's number of its type.
_SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NDPI = 65420
_IMAGEJ = (50838, 50839)
# Formats of slides, whose empty tiles are not stored.
_SPARSE = ("svs", "ndpi", "bif", "scn", "qpi", "philips", "avs")


def check_directories(path: Path) -> bool:
    """Raise `ImageError` if the chain of a TIFF's directories is broken or a circle.

    Returns
    -------
    bool
        Whether the file is one of Hamamatsu's (NDPI), whose offsets are wider.

    Raises
    ------
    ImageError
        Or if the file is no TIFF at all.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        order = {b"II": "<", b"MM": ">"}.get(file.read(2))
        version = struct.unpack(f"{order}H", file.read(2))[0] if order and size > 8 else 0
        if version not in (42, 43):
            raise ImageError("the file is damaged or not an image (it is no TIFF).")
        big = version == 43
        count_format, tag_size, offset_format = (
            (f"{order}Q", 20, f"{order}Q") if big else (f"{order}H", 12, f"{order}I")
        )
        file.seek(8 if big else 4)
        seen: set[int] = set()
        while offset := _number(file, offset_format):
            if offset in seen:
                raise ImageError(
                    f"the file is damaged: its list of pages is a circle after page {len(seen)}."
                )
            if offset >= size:
                if not big and size >= 2**32:  # offsets of 32 bits do not reach so far
                    return False
                raise ImageError(_broken(len(seen)))
            seen.add(offset)
            file.seek(offset)
            tags = _number(file, count_format)
            if tags is None or tags > 4096:
                raise ImageError(_broken(len(seen) - 1))
            if len(seen) == 1 and _check_tags(file.read(tags * tag_size), order, big, size):
                return True
            file.seek(offset + struct.calcsize(count_format) + tags * tag_size)
        if offset is None or not seen:
            raise ImageError(_broken(len(seen)))
    return False


def _number(file: Any, form: str) -> int | None:
    data = file.read(struct.calcsize(form))
    return int(struct.unpack(form, data)[0]) if len(data) == struct.calcsize(form) else None


def _check_tags(tags: bytes, order: str | None, big: bool, size: int) -> bool:
    """Check that the values of the first directory's tags are in a file of a size.

    Returns
    -------
    bool
        Whether the file is one of Hamamatsu's.
    """
    entries = list(struct.iter_unpack(f"{order}HHQQ" if big else f"{order}HHII", tags))
    if any(code == _NDPI for code, *_ in entries):
        return True
    for code, kind, count, offset in entries:
        length = count * _SIZES.get(kind, 1)
        public = code < 2**15 or code in _IMAGEJ
        if public and length > (8 if big else 4) and offset + length > size:
            raise ImageError(
                f"tag {code} of its first page should reach to byte {offset + length:,}, and the "
                f"file has {size:,}: it is incomplete."
            )
    return False


def _broken(pages: int) -> str:
    if not pages:
        return "the file is damaged or not an image (it has no first page)."
    return f"the file is incomplete: it ends after page {pages}, and its list of pages goes on."


def check_text(text: str) -> None:
    """Raise `ImageError` if a description in XML defines entities, which can grow without end."""
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise ImageError("its metadata define XML entities, which no program needs there.")


def check_imagej(tiff: Any, series: Any) -> None:
    """Raise `ImageError` if an ImageJ file holds fewer images than its description says."""
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
