"""OME-Zarr 0.1 to 0.5: multiscale images and stacks, plates, series and labels, read lazily."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ImageError
from ..images import Grid
from . import ome_zarr_metadata as metadata
from .image_file import ImageFile

if TYPE_CHECKING:
    from .zarr_files import Node, Pixels, Store

# Where a group without metadata is looked for images, as bioformats2raw lays them out.
_MOST_SERIES = 100_000


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup", ".zattrs"))


@dataclass(frozen=True)
class Place:
    """One of the images in a store.

    Attributes
    ----------
    name : str
        As users choose it, such as ``"B/3/0"`` for a field of a plate.
    node : Node
        Its group, or its array if that is all there is.
    entry : int
        Number of the multiscale image in the group.
    """

    name: str
    node: Node
    entry: int = 0


def scenes(path: Path | str) -> tuple[str, ...]:
    """Return the names of the images in a Zarr folder: wells with fields, series, or labels.

    Raises
    ------
    ImageError
        If the metadata are not valid.
    """
    from .zarr_files import open_store

    names, _ = _listed(*open_store(path))
    return tuple(names) if len(names) > 1 else ()


def read(path: Path | str, scene: int = 0, labels: bool = False) -> ImageFile:
    """Open an image of a Zarr folder or zip file; no pixels are read yet.

    Parameters
    ----------
    path : Path or str
        Of an image, a plate, a well, a field, a folder of series or labels, or an array; or its
        address in a store elsewhere.
    scene : int
        Number of the image, see `scenes`.
    labels : bool
        Not used.

    Raises
    ------
    ImageError
        If there is no image, or its metadata are not valid or do not fit its arrays.
    """
    from .zarr_files import open_store

    store, group = open_store(path)
    names, missing = _listed(store, group)
    place = _located(store, group, names[scene])
    notices = []
    if missing:
        notices.append(
            f"{len(missing)} images that the metadata list are not there: {_some(missing)}."
        )
    more: dict[str, Any] = {"scenes": tuple(names) if len(names) > 1 else (), "scene": scene}
    if place.node.kind == "array":
        return _plain(path, store, place.node, notices, more)
    return _multiscale(path, store, place, notices, more)


def _plain(
    path: Path | str, store: Store, node: Node, notices: list[str], more: dict[str, Any]
) -> ImageFile:
    """Return an array that has no metadata of OME-Zarr."""
    from .zarr_files import open_pixels

    pixels = open_pixels(store, node, path)
    axes = node.attributes.get("axes")
    named: Sequence[Any] = node.dimensions or (axes if isinstance(axes, str | list) else ())
    letters = metadata.letters_of([metadata.Axis(str(name)) for name in named]) or "?"
    notices += _emptiness(store, node, pixels)
    return ImageFile.from_levels([pixels], letters, notices=tuple(notices), **more)


def _multiscale(
    path: Path | str, store: Store, place: Place, notices: list[str], more: dict[str, Any]
) -> ImageFile:
    """Return a multiscale image."""
    scales = metadata.multiscales(place.node.attributes)[place.entry]
    nodes, missing = level_nodes(store, place.node, scales)
    if missing:
        notices.append(f"Levels that the metadata list are not there: {_some(missing)}.")
    levels = [_level(path, store, node) for node, _ in nodes]
    if len({len(level.shape) for level in levels}) > 1:
        raise ImageError("its levels have different numbers of dimensions.")
    said = metadata.calibration(scales, nodes[0][1], len(levels[0].shape))
    if said.ignored:
        notices.append(f"Transformations of the type {_some(said.ignored)} are not applied.")
    notices += _emptiness(store, nodes[0][0], levels[0])
    count = dict(zip(said.letters, levels[0].shape, strict=True)).get("C", 1)
    if count > 1:
        more["channels"] = metadata.channel_names(place.node.attributes, count)
    return ImageFile.from_levels(
        levels,
        said.letters,
        said.sizes,
        said.units,
        origin=said.origin,
        notices=tuple(notices),
        **more,
    )


def _level(path: Path | str, store: Store, node: Node) -> Pixels:
    from .zarr_files import open_pixels

    return open_pixels(store, node, path)


def level_nodes(
    store: Store, group: Node, scales: metadata.Multiscale
) -> tuple[list[tuple[Node, metadata.Level]], list[str]]:
    """Return the arrays of a multiscale image, the finest first, and the paths of missing ones.

    Raises
    ------
    ImageError
        If the finest one is missing.
    """
    from .zarr_files import find, inside

    found, missing = [], []
    for level in scales.datasets:
        node = find(store, inside(group.path, level.path))
        if node is not None and node.kind == "array":
            found.append((node, level))
        else:
            missing.append(level.path)
    if scales.datasets[0].path in missing:
        raise ImageError(
            f"its finest level {scales.datasets[0].path!r}, which the metadata name, is not there: "
            "the copy is incomplete."
        )
    return found, missing


def _emptiness(store: Store, node: Node, pixels: Pixels) -> list[str]:
    """Return a sentence if no pixel of an array is stored."""
    from .zarr_files import is_empty

    if not math.prod(pixels.shape) or not is_empty(store, node, pixels):
        return []
    return [
        f"None of the pixels of {node.path or 'the array'} are stored, so that all of them are "
        f"{pixels.fill_value}: the copy may be incomplete."
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


# ------------------------------------------------------------------ the images in a store
def place_of(store: Store, group: str, scene: int) -> Place:
    """Return an image of a store by its number, see `scenes`.

    Raises
    ------
    ImageError
        If it is not there, or the metadata are not valid.
    """
    names, _ = _listed(store, group)
    return _located(store, group, names[scene])


def _listed(store: Store, group: str) -> tuple[list[str], list[str]]:
    """Return the names of the images in a group, and of those that are listed but not there."""
    from .zarr_files import find

    node = find(store, group)
    missing: list[str] = []
    names = [] if node is None else list(dict.fromkeys(_names(store, node, missing)))
    if not names:
        raise ImageError(
            "the folder holds no OME-Zarr image"
            + (f": {_some(missing)} are not there." if missing else "; give that of one image.")
        )
    return names, missing


def _names(store: Store, node: Node, missing: list[str]) -> Iterator[str]:
    """Yield the names of the images in a group, which are paths in it except for multiscales."""
    if node.kind == "array":
        yield ""
    elif metadata.ome(node.attributes).get("multiscales"):
        yield from _entries(node)
    elif plate := metadata.part(node.attributes, "plate", metadata.Plate):
        for well in plate.wells:
            inner = _child(store, node, well.path)
            if inner is None:
                missing.append(well.path)
                continue
            fields = _fields(inner)
            if not fields:
                missing.append(well.path)
            yield from (f"{well.path}/{name}" for name in fields)
    elif "well" in metadata.ome(node.attributes):
        yield from _fields(node)
    else:
        for name in _series(store, node):
            if _child(store, node, name) is None:
                missing.append(name)
            else:
                yield name


def _entries(node: Node) -> list[str]:
    """Return the names of the multiscale images in a group; their numbers if names repeat."""
    found = metadata.multiscales(node.attributes)
    names = [str(scales.name or f"image {k}") for k, scales in enumerate(found, start=1)]
    if len(set(names)) < len(names):
        return [f"{name} ({k})" for k, name in enumerate(names, start=1)]
    return names


def _fields(well: Node) -> list[str]:
    found = metadata.part(well.attributes, "well", metadata.Well)
    return [] if found is None else [field.path for field in found.images]


def _series(store: Store, node: Node) -> Iterator[str]:
    """Yield the names of the groups of images in a group without an image of its own."""
    kind: Any = list[str]
    listed = metadata.part(node.attributes, "labels", kind)
    if listed is None and (inner := _child(store, node, "OME")) is not None:
        listed = metadata.part(inner.attributes, "series", kind)
    if listed is not None:
        yield from listed
        return
    for number in range(_MOST_SERIES):
        inner = _child(store, node, str(number))
        if inner is None or not metadata.ome(inner.attributes).get("multiscales"):
            return
        yield str(number)


def _child(store: Store, node: Node, name: str) -> Node | None:
    from .zarr_files import find, inside

    return find(store, inside(node.path, name))


def _located(store: Store, group: str, name: str) -> Place:
    """Return the image of a name."""
    from .zarr_files import find

    node = find(store, group)
    if node is not None and node.kind == "array":
        return Place(name, node)
    if node is not None and metadata.ome(node.attributes).get("multiscales"):
        return Place(name, node, _entries(node).index(name))
    inner = None if node is None else _child(store, node, name)
    if inner is None or not metadata.multiscales(inner.attributes):
        raise ImageError(f"its image {name} is not there: the copy is incomplete.")
    return Place(name, inner)


# ------------------------------------------------------------------ what SegLite wrote
def recipe_of(path: Path | str) -> dict[str, Any]:
    """Return the recipe that SegLite stored with labels; empty if there is none."""
    from .zarr_files import find, open_store

    try:
        node = find(*open_store(path))
    except (ImageError, OSError, ValueError):
        return {}
    recipe = {} if node is None else node.attributes.get("seglite")
    return recipe if isinstance(recipe, dict) else {}


def stored_grid(path: Path | str) -> tuple[Grid, tuple[int, ...]]:
    """Return where the pixels of labels lie, all axes included, and their shape.

    Raises
    ------
    ImageError
        If there are no labels.
    """
    from .zarr_files import open_store

    store, group = open_store(path)
    place = place_of(store, group, 0)
    scales = metadata.multiscales(place.node.attributes)[0]
    node, level = level_nodes(store, place.node, scales)[0][0]
    shape = tuple(_level(path, store, node).shape)
    said = metadata.calibration(scales, level, len(shape))
    return Grid.of(said.letters, said.sizes, said.units, said.origin), shape
