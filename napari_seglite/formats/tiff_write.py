"""Labels as TIFF, so that ImageJ opens them with their calibration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..images import Grid
from . import imagej
from .atomic import replacing

# A TIFF of 32-bit offsets ends here, less some space for its directories. ImageJ's stacks cannot
# be the larger kind.
LARGEST_CLASSIC = 2**32 - 2**25
_IMAGEJ_TYPES = (np.uint8, np.uint16, np.float32)


def write(
    path: Path, labels: np.ndarray, recipe: dict[str, Any], grid: Grid, source: Path | None = None
) -> None:
    """Write labels as a compressed TIFF, see `read_write.write_labels`.

    ImageJ reads neither uint32 nor any order of axes but TZYX, nor more than 4 GB; such labels are
    written as a TIFF with tifffile's own metadata, which state the same.

    Parameters
    ----------
    path : Path
        Of the file.
    labels : ndarray
        uint8, uint16, uint32 or float32.
    recipe : dict
        Plain JSON data that `recipe_of` returns.
    grid : Grid
        Where the labels lie; all of it is kept.
    source : Path, optional
        Not used.
    """
    import tifffile

    ordered = grid.axes == "".join(axis for axis in "TZYX" if axis in grid.axes)
    large = labels.nbytes > LARGEST_CLASSIC
    said, resolution = imagej.fields(grid)
    record = imagej.info(recipe, grid, labels.shape)
    options: dict[str, Any] = {
        "compression": "zlib",
        "photometric": "minisblack",
        "resolution": resolution,
    }
    # A width of one pixel is dropped from the shape of ImageJ's files.
    if labels.dtype in _IMAGEJ_TYPES and ordered and not large and labels.shape[-1] > 1:
        options |= {"imagej": True, "metadata": {"axes": grid.axes, **said, "Info": record}}
    else:
        metadata = {"axes": grid.axes, "unit": grid.unit, "spacing": list(grid.spacing)}
        metadata |= {key: value for key, value in json.loads(record).items() if key != "shape"}
        options |= {"metadata": metadata, "bigtiff": large}
    data: Any = labels
    if not isinstance(labels, np.ndarray):  # tifffile would read all of a stored stack, twice
        data = (np.asarray(labels[plane]) for plane in np.ndindex(tuple(labels.shape[:-2])))
        options |= {"shape": tuple(labels.shape), "dtype": labels.dtype}
    with replacing(path) as temporary:
        tifffile.imwrite(temporary, data, **options)


def recipe_of(path: Path) -> dict[str, Any]:
    """Return the recipe stored by `write`; empty if there is none."""
    import tifffile

    from .tiff_directories import check_directories

    check_directories(path)
    with tifffile.TiffFile(path) as tiff:
        text = (tiff.imagej_metadata or {}).get("Info") or tiff.pages.first.description
    return dict(imagej.own(text).get("seglite", {}))
