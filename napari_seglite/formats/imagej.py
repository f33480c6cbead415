"""ImageJ's fields in a TIFF: read, and written so that ImageJ shows the calibration.

What ImageJ has no field for, and what its fields cannot state exactly, stands in the ``Info`` text
as JSON. A field that was changed in ImageJ since then wins over it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import Grid, canonical_unit
from .stated import Stated

# A TIFF's resolution is a fraction of two of these, and ImageJ stores it in steps of a millionth.
_LARGEST = 2**32 - 1
_STEP = 1.1e-6


def fields(grid: Grid) -> tuple[dict[str, Any], tuple[float, float]]:
    """Return ImageJ's description of a grid, and the pixels per unit along X and Y.

    Parameters
    ----------
    grid : Grid
        Its axes are some of TZYX in this order.
    """
    units = dict(zip(grid.axes, grid.units, strict=True))
    said: dict[str, Any] = {}
    resolution = [1.0, 1.0]
    for k, axis in enumerate("XY"):
        pixels = 1 / grid.size(axis)
        if 1 / _LARGEST <= pixels <= _LARGEST:
            resolution[k] = pixels
    if grid.known:
        said["unit"] = _escaped(grid.unit)
    for axis in "YZ":
        if units.get(axis, grid.unit) != grid.unit:
            said[f"{axis.lower()}unit"] = _escaped(units[axis])
    if "Z" in units:
        said["spacing"] = grid.size("Z")
    if "T" in units and canonical_unit(units["T"]) != "pixel":
        said["finterval"] = grid.size("T")
        said["tunit"] = "sec" if units["T"] == "s" else _escaped(units["T"])
    for axis, place in zip(grid.axes, grid.origin, strict=True):
        if axis in "XYZ" and place:
            said[f"{axis.lower()}origin"] = -place / grid.size(axis)
    return said, (resolution[0], resolution[1])


def info(recipe: Mapping[str, Any], grid: Grid, shape: Sequence[int]) -> str:
    """Return the text that states a recipe and a grid exactly."""
    return json.dumps({"seglite": dict(recipe), "grid": grid.as_dict(), "shape": list(shape)})


def own(text: Any) -> dict[str, Any]:
    """Return what `info` wrote; empty if there is nothing of it."""
    try:
        found = json.loads(str(text))
        return dict(found) if isinstance(found["seglite"], dict) else {}
    except (ValueError, KeyError, TypeError):
        return {}


def stated(tiff: Any, shape: Sequence[int]) -> Stated:
    """Return the calibration of an ImageJ file.

    Parameters
    ----------
    tiff : tifffile.TiffFile
        An open file.
    shape : sequence of int
        Of its image.
    """
    said = dict(tiff.imagej_metadata or {})
    page = tiff.pages.first
    resolution = tuple(_resolution(page, tag) for tag in ("XResolution", "YResolution"))
    found = _calibration(said, resolution)
    record = own(said.get("Info"))
    if "grid" not in record:
        return found
    try:
        grid = Grid.from_dict(record["grid"])
    except (ImageError, ValueError, KeyError, TypeError):
        return found
    return _reconciled(found, grid, resolution, list(shape) == record.get("shape"))


def _calibration(said: Mapping[str, Any], resolution: Sequence[float]) -> Stated:
    unit = _unescaped(said.get("unit"))
    sizes: dict[str, float] = {}
    units: dict[str, str] = {}
    if unit.strip():  # the resolution alone is often that of a printer
        for axis, pixels in zip("XY", resolution, strict=True):
            if pixels > 0:
                sizes[axis] = 1 / pixels
        units = {axis: _unescaped(said.get(f"{axis.lower()}unit")) or unit for axis in "XYZ"}
        if "spacing" in said:
            sizes["Z"] = abs(_float(said["spacing"]))  # negative where Z runs downwards
    step = _float(said.get("finterval"))
    if step > 0:
        sizes["T"], units["T"] = step, _unescaped(said.get("tunit")) or "s"
    origin = {
        axis: -_float(said[f"{axis.lower()}origin"]) * sizes[axis]
        for axis in "XYZ"
        if f"{axis.lower()}origin" in said and axis in sizes
    }
    return Stated(sizes, units, origin, channels=_channels(said))


def _reconciled(found: Stated, grid: Grid, resolution: Sequence[float], same: bool) -> Stated:
    """Return what the exact record says, but for the fields that differ from it by now."""
    written, kept_resolution = fields(grid)
    before = _calibration(written, kept_resolution)
    exact = Stated.of(grid)
    sizes, units, origin = dict(exact.sizes), dict(exact.units), dict(exact.origin)
    edited = False
    for axis in grid.axes:
        same_unit = canonical_unit(found.units.get(axis, "")) == canonical_unit(
            before.units.get(axis, "")
        )
        if same_unit and _same_size(axis, found, before, resolution, kept_resolution):
            continue
        edited = True
        units[axis] = found.units.get(axis, "pixel")
        sizes[axis] = found.sizes.get(axis, 1.0)
        origin[axis] = found.origin.get(axis, 0.0)
    affine = grid.affine if same and not edited else None
    notices: tuple[str, ...] = ()
    if not same:
        origin = dict(found.origin)
        notices = ("The image was cut or scaled after SegLite wrote it, so its place is not kept.",)
    elif edited:
        notices = ("The scale was changed after SegLite wrote the file; the new one is taken.",)
    return Stated(sizes, units, origin, affine, found.channels, notices)


def _same_size(
    axis: str,
    found: Stated,
    before: Stated,
    resolution: Sequence[float],
    kept: Sequence[float],
) -> bool:
    """Whether a size is still what was written, as far as ImageJ's fields can state it."""
    if axis in "XY":
        k = "XY".index(axis)
        return abs(resolution[k] - kept[k]) <= _STEP + 1e-6 * kept[k]
    a, b = found.sizes.get(axis), before.sizes.get(axis)
    return a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-6))


def _resolution(page: Any, tag: str) -> float:
    """Return the pixels per unit; 0 if the file does not say."""
    try:
        pixels, units = page.tags[tag].value
        return float(pixels) / float(units)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0.0


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def _channels(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the channels, where the labels of the slices are such."""
    count = int(_float(said.get("channels"))) or 1
    texts = said.get("Labels")
    if count < 2 or not isinstance(texts, list | tuple | np.ndarray) or len(texts) < count:
        return ()
    names = tuple(re.sub(r"^([czt]:\d+/\d+\s*)+-?\s*", "", str(t)).strip() for t in texts[:count])
    return names if all(names) and len(set(names)) == count else ()


def _escaped(text: str) -> str:
    """Return a text in ASCII, as ImageJ writes it."""
    return text.encode("ascii", "backslashreplace").decode().replace("\\x", "\\u00")


def _unescaped(text: Any) -> str:
    plain = "" if text is None else str(text)
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), plain)
