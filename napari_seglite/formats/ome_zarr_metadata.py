"""What OME-Zarr says about images: their axes, levels, places and names, versions 0.1 to 0.5.

Images are read as far as their metadata make sense, even where a version of the specification asks
for more, such as the order of axes or of transformations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..errors import ImageError
from .validated import parse_json

T = TypeVar("T")

# Letters of axes by the names that programs give them.
_NAMES = {
    name: letter
    for letter, names in {
        "T": ("t", "time", "frame", "frames"),
        "Z": ("z", "depth", "slice", "slices", "plane"),
        "C": ("c", "channel", "channels", "band", "s", "rgb"),
        "Y": ("y", "height", "row", "rows"),
        "X": ("x", "width", "column", "columns", "col"),
    }.items()
    for name in names
}
_TYPES = {"time": "T", "channel": "C"}


@dataclass(frozen=True)
class Axis:
    """An axis; its unit may be missing."""

    name: str
    type: Any = None
    unit: Any = None


@dataclass(frozen=True)
class Transform:
    """A step from the numbers of pixels to places."""

    type: str
    scale: list[float] | None = None
    translation: list[float] | None = None


@dataclass(frozen=True)
class Level:
    """An array of a multiscale image."""

    path: str
    coordinateTransformations: list[Transform] | None = None  # noqa: N815


@dataclass(frozen=True)
class Multiscale:
    """An image with its levels, the finest first."""

    datasets: list[Level]
    axes: list[Axis | str] | None = None
    name: Any = None
    coordinateTransformations: list[Transform] | None = None  # noqa: N815


@dataclass(frozen=True)
class Named:
    """A well of a plate or a field of a well."""

    path: str


@dataclass(frozen=True)
class Plate:
    """The wells of a plate."""

    wells: list[Named]


@dataclass(frozen=True)
class Well:
    """The fields of a well."""

    images: list[Named]


def ome(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of OME-Zarr in the attributes of a group."""
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def part(attributes: dict[str, Any], key: str, kind: type[T]) -> T | None:
    """Return a part of the metadata of OME-Zarr, or None if it is missing.

    Raises
    ------
    ImageError
        If it is not valid.
    """
    value = ome(attributes).get(key)
    if value is None:
        return None
    try:
        return parse_json(json.dumps(value), kind)
    except (ValueError, TypeError, RecursionError) as error:
        raise ImageError(f"its metadata on {key!r} are not valid ({error}).") from error


def multiscales(attributes: dict[str, Any]) -> list[Multiscale]:
    """Return the images of a group."""
    kind: Any = list[Multiscale]
    found: list[Multiscale] = part(attributes, "multiscales", kind) or []
    if any(not scales.datasets for scales in found):
        raise ImageError("its metadata name an image without levels.")
    return found


def channel_names(attributes: dict[str, Any], count: int) -> tuple[str, ...]:
    """Return the names of an image's channels; empty unless there is one for each."""
    display = ome(attributes).get("omero")
    entries = display.get("channels") if isinstance(display, dict) else None
    if not isinstance(entries, list) or len(entries) != count:
        return ()
    names = [entry.get("label") if isinstance(entry, dict) else None for entry in entries]
    return tuple(map(str, names)) if all(isinstance(name, str) for name in names) else ()


def axes_of(scales: Multiscale, dimensions: int) -> list[Axis]:
    """Return the axes of an image; before version 0.3 they are always TCZYX.

    Raises
    ------
    ImageError
        If their number is not that of the array's dimensions.
    """
    axes = ["t", "c", "z", "y", "x"][-dimensions:] if scales.axes is None else scales.axes
    if len(axes) != dimensions:
        raise ImageError(
            f"its metadata name {len(axes)} axes, and its array has {dimensions} dimensions."
        )
    return [Axis(axis) if isinstance(axis, str) else axis for axis in axes]


def letters_of(axes: Sequence[Axis]) -> str:
    """Return a letter for each axis by its name or type, ``"?"`` where neither tells."""
    letters = [_NAMES.get(a.name.strip().lower()) or _TYPES.get(str(a.type), "?") for a in axes]
    spaces = [k for k, axis in enumerate(axes) if letters[k] == "?" and axis.type == "space"]
    if len(spaces) <= 3 and not set(letters) & set("ZYX"):
        for k, letter in zip(reversed(spaces), "XYZ", strict=False):
            letters[k] = letter
    return "".join(letters)


def transforms(scales: Multiscale, level: Level) -> list[Transform]:
    """Return the steps from the numbers of a level's pixels to places, in their order."""
    return [*(level.coordinateTransformations or ()), *(scales.coordinateTransformations or ())]


@dataclass(frozen=True)
class Calibration:
    """Axes of an array by letters, with the size of a pixel and the place of the first."""

    letters: str
    sizes: dict[str, float]
    units: dict[str, str]
    origin: dict[str, float]
    ignored: tuple[str, ...]


def calibration(scales: Multiscale, level: Level, dimensions: int) -> Calibration:
    """Return what a multiscale image says about the pixels of a level.

    Parameters
    ----------
    scales : Multiscale
        The image.
    level : Level
        One of its levels.
    dimensions : int
        Of the level's array.

    Raises
    ------
    ImageError
        If axes or transformations do not fit the dimensions.
    """
    axes = axes_of(scales, dimensions)
    letters = letters_of(axes)
    steps = transforms(scales, level)
    size, origin = _placement(steps, dimensions)
    units = {k: a.unit for k, a in zip(letters, axes, strict=True) if isinstance(a.unit, str)}
    sizes, places = (dict(zip(letters, values.tolist(), strict=True)) for values in (size, origin))
    return Calibration(letters, sizes, units, places, tuple(sorted(set(_ignored(steps)))))


def _placement(steps: Sequence[Transform], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the size of a pixel and the place of the first one along each axis."""
    size, place = np.ones(count), np.zeros(count)
    for step in steps:
        for values in (step.scale, step.translation):
            if values is not None and len(values) != count:
                raise ImageError(
                    f"its metadata give a {step.type} of {len(values)} numbers for {count} axes."
                )
        with np.errstate(over="ignore", invalid="ignore"):  # such sizes are none, see `is_size`
            if step.type == "scale" and step.scale is not None:
                size, place = size * step.scale, place * step.scale
            elif step.type == "translation" and step.translation is not None:
                place = place + step.translation
    return size, place


def _ignored(steps: Sequence[Transform]) -> Iterator[str]:
    """Yield the types of the steps that `_placement` knows nothing of."""
    for step in steps:
        known = {"identity": (), "scale": step.scale, "translation": step.translation}
        if known.get(step.type) is None:
            yield step.type
