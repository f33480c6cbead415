"""What was understood of an image file, in words and as data."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..images import UNKNOWN
from .image_file import ImageFile
from .orientation import orientation_of

_KINDS = {"T": "time points", "Z": "slices", "C": "channels", "Y": "rows", "X": "columns"}


def describe(image: ImageFile) -> dict[str, Any]:
    """Return what was understood of an image file as plain JSON data.

    Parameters
    ----------
    image : ImageFile
        As `read_image` returns it; no pixel is read.

    Returns
    -------
    dict
        ``shape``, ``axes``, ``dtype``, ``bytes``, ``levels``, ``spacing`` and ``units`` by axis,
        ``origin``, ``orientation`` (such as ``"LPS"``: where x, y and z of the array lead) and
        ``affine``, ``rgb``, ``channels``, ``scenes``, ``scene`` (from 1), ``guesses``, ``notices``.
    """
    shape = [int(n) for n in image.array.shape]
    grid, letters = image.grid, image.grid.axes
    dtype = np.dtype(image.array.dtype)
    return {
        "shape": shape,
        "axes": image.axes.order,
        "dtype": str(dtype),
        "bytes": int(np.prod(shape, dtype=object)) * dtype.itemsize,
        "levels": [[int(n) for n in level.shape] for level in image.levels],
        "spacing": dict(zip(letters, grid.spacing, strict=True)),
        "units": dict(zip(letters, grid.units, strict=True)),
        "origin": dict(zip(letters, grid.origin, strict=True)),
        "orientation": orientation_of(grid),
        "affine": None if grid.affine is None else grid.affine.tolist(),
        "rgb": image.rgb,
        "channels": list(image.channels),
        "scenes": list(image.scenes),
        "scene": image.scene + 1,
        "guesses": list(image.guesses),
        "notices": list(image.notices),
    }


def description(image: ImageFile) -> list[tuple[str, str]]:
    """Return what was understood of an image file as pairs of a title and a text."""
    facts = describe(image)
    guessed = " (guessed)" if "axes" in image.guesses else ""
    counts = zip(facts["axes"], facts["shape"], strict=True)
    rows = [
        ("axes", facts["axes"] + guessed),
        ("size", ", ".join(f"{n} {_KINDS[axis]}" for axis, n in counts)),
        ("type", f"{facts['dtype']}, {_bytes(facts['bytes'])}"),
        ("pixel size", _spacing(facts)),
    ]
    if any(facts["origin"].values()):
        places = (f"{axis} {v:.6g} {facts['units'][axis]}" for axis, v in facts["origin"].items())
        rows.append(("origin", ", ".join(places)))
    if facts["orientation"]:
        rows.append(("orientation", facts["orientation"]))
    if image.rgb:
        rows.append(("channels", "red, green, blue"))
    elif image.channels:
        rows.append(("channels", ", ".join(image.channels)))
    if len(image.levels) > 1:
        rows.append(("levels", "; ".join(" x ".join(map(str, s)) for s in facts["levels"])))
    if len(image.scenes) > 1:
        named = ", ".join(f"{k} {name}" for k, name in enumerate(image.scenes, start=1))
        rows.append(("images", f"{len(image.scenes)}: {named}; this is {facts['scene']}"))
    return [*rows, *(("note", notice) for notice in image.notices)]


def _spacing(facts: dict[str, Any]) -> str:
    parts = []
    for axis, size in facts["spacing"].items():
        unit = facts["units"][axis]
        unknown = unit == UNKNOWN and size == 1
        parts.append(f"{axis} unknown" if unknown else f"{axis} {size:.6g} {unit}")
    return ", ".join(parts)


def _bytes(count: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count = count / 1000  # type: ignore[assignment]
    return f"{count:.3g} TB"
