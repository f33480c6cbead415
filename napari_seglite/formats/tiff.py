"""TIFF: plain, ImageJ, OME and pyramids; labels are written so that ImageJ opens them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..images import Grid
from .atomic import replacing
from .image_file import ImageFile

# Bytes; larger images are read piece by piece when they are indexed.
LAZY_BYTES = 500_000_000


def scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the images in a TIFF."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        return tuple(series.name or f"image {k}" for k, series in enumerate(tiff.series, start=1))


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read a series of a TIFF, all its levels, with axes and spacing."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        names = tuple(series.name or f"image {k}" for k, series in enumerate(tiff.series, start=1))
        series = tiff.series[scene]
        letters = series.axes.upper()
        sizes, units = _spacing(tiff)
        large = series.nbytes > LAZY_BYTES
        levels = [
            _lazy(path, k) if large else level.asarray() for k, level in enumerate(series.levels)
        ]
    # Pages of unknown meaning, as in a plain multi-page TIFF, are taken as slices.
    letters = letters.replace("I", "Z").replace("Q", "Z")
    return ImageFile.from_levels(levels, letters, sizes, units, scenes=names, scene=scene)


def _lazy(path: Path, level: int) -> Any:
    """Return a Zarr array that reads from the file only the pixels that are indexed."""
    import tifffile
    import zarr

    # The store keeps the file open for as long as the array lives.
    return zarr.open_array(tifffile.imread(path, aszarr=True, level=level), mode="r")


def write(
    path: Path, labels: np.ndarray, recipe: dict[str, Any], grid: Grid, source: Path | None = None
) -> None:
    """Write labels as a compressed TIFF, see `read_write.write_labels`.

    ImageJ reads neither uint32 nor any order of axes but TZYX; such labels are written as a TIFF
    with tifffile's own metadata, which state the same.

    Parameters
    ----------
    path : Path
        Of the file.
    labels : ndarray
        uint8, uint16, uint32 or float32.
    recipe : dict
        Plain JSON data that `recipe_of` returns.
    grid : Grid
        Where the labels lie.
    source : Path, optional
        Not used.
    """
    import tifffile

    axes, spacing, unit = grid.axes, grid.spacing, grid.unit
    options: dict[str, Any] = {
        "compression": "zlib",
        "resolution": tuple(1 / spacing[axes.index(axis)] for axis in "XY"),
    }
    metadata: dict[str, Any] = {"axes": axes, "unit": unit}
    if labels.dtype == np.uint32 or axes != "".join(a for a in "TZYX" if a in axes):
        metadata |= {"spacing": spacing, "seglite": recipe}
        options |= {"metadata": metadata, "photometric": "minisblack"}
    else:
        metadata["Info"] = json.dumps({"seglite": recipe})
        if "Z" in axes:
            metadata["spacing"] = spacing[axes.index("Z")]
        options |= {"metadata": metadata, "imagej": True}
    with replacing(path) as temporary:
        tifffile.imwrite(temporary, labels, **options)


def recipe_of(path: Path) -> dict[str, Any]:
    """Return the recipe stored by `write`; empty if there is none."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        text = (tiff.imagej_metadata or {}).get("Info") or tiff.pages.first.description
    try:
        return dict(json.loads(text)["seglite"])
    except (ValueError, KeyError, TypeError):
        return {}


def _spacing(tiff: Any) -> tuple[dict[str, float], str | None]:
    """Return the size of a pixel by axis and its unit, from the metadata of SegLite, OME or ImageJ.

    Without a unit the size is unknown.
    """
    own = (tiff.shaped_metadata or [{}])[0]
    if "seglite" in own:
        return dict(zip(own["axes"], own["spacing"], strict=True)), own["unit"]
    if tiff.is_ome:
        return _ome_spacing(tiff.ome_metadata)
    page, spacing = tiff.pages.first, {}
    for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
        pixels, units = page.tags[tag].value if tag in page.tags else (0, 1)
        if pixels > 0 and units > 0:
            spacing[axis] = units / pixels
    metadata = tiff.imagej_metadata or {}
    unit = metadata.get("unit")
    if not unit:  # the resolution alone is often that of a printer
        return {}, None
    if "spacing" in metadata:
        spacing["Z"] = float(metadata["spacing"])
    return spacing, unit


def _ome_spacing(xml: str) -> tuple[dict[str, float], str | None]:
    from tifffile import xml2dict

    image = xml2dict(xml)["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    spacing = {
        axis: float(pixels[f"PhysicalSize{axis}"])
        for axis in "XYZ"
        if f"PhysicalSize{axis}" in pixels
    }
    return spacing, pixels.get("PhysicalSizeXUnit", "um")
