"""Labels as OME-Zarr 0.4 and 0.5, as a folder of their own or inside the image's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError
from ..images import ArrayLike, Grid, chunked, long_unit
from . import ome_zarr
from . import ome_zarr_metadata as metadata
from .atomic import replacing
from .names import name_problem
from .ome_zarr import recipe_of
from .scene_choice import scene_number, split_scene

if TYPE_CHECKING:
    from .zarr_files import Node

_TYPES = {"T": "time", "Z": "space", "Y": "space", "X": "space"}
# Side of the chunks in pixels.
CHUNK = 512
_PAINTED = {"labels": "painted"}


def write(
    path: Path,
    labels: np.ndarray,
    recipe: dict[str, Any],
    grid: Grid,
    source: Path | None = None,
    version: str = "0.5",
) -> None:
    """Write labels with levels for viewing, see `read_write.write_labels`.

    Each level takes every other pixel of the finer one along Y and X, so that labels never mix.

    Parameters
    ----------
    path : Path
        Of the folder; only one that SegLite wrote is replaced.
    labels : ndarray
        Integer or boolean.
    recipe : dict
        Plain JSON data that `recipe_of` returns.
    grid : Grid
        Where the labels lie.
    source : Path, optional
        Not used.
    version : str
        Of OME-Zarr: ``"0.4"`` or ``"0.5"``.

    Raises
    ------
    ImageError
        If there is something of this name that SegLite did not write, or the name is that of a
        zip file.
    """
    if path.suffix.lower() != ".zarr":
        raise ImageError(f"{path}: OME-Zarr is written as a folder whose name ends in .zarr.")
    if path.exists() and not path.is_dir():
        raise ImageError(f"{path}: there is a file of this name; labels are written as a folder.")
    if path.exists() and not recipe_of(path):
        raise ImageError(f"{path}: there is a folder of this name that SegLite did not write.")
    shapes, grids = pyramid(tuple(labels.shape), grid)
    levels = [transforms(each.spacing, each.origin) for each in grids]
    with replacing(path) as scratch:
        text = described(path.name.split(".")[0], grid, levels, version)
        _write_group(scratch, labels, grid.axes, shapes, version, text, recipe)


def pyramid(shape: tuple[int, ...], grid: Grid) -> tuple[list[tuple[int, ...]], list[Grid]]:
    """Return shapes and grids of the levels of labels, the finest first."""
    shapes, grids = [shape], [grid]
    step = [2 if axis in "YX" else 1 for axis in grid.axes]
    while max(shapes[-1][grid.axes.index(axis)] for axis in "YX") > CHUNK:
        shapes.append(tuple(-(-n // k) for n, k in zip(shapes[-1], step, strict=True)))
        grids.append(grids[-1].coarser(step))
    return shapes, grids


def write_editable(path: Path, labels: ArrayLike, grid: Grid, chunk: int) -> None:
    """Write labels of one level in small chunks, which can be replaced one by one later.

    Parameters
    ----------
    path : Path
        Of the folder, which is replaced.
    labels : ArrayLike
        Integer, of any size.
    grid : Grid
        Where the labels lie.
    chunk : int
        Side of a chunk along Y and X in pixels; 1 along the other axes.
    """
    levels, shapes = [transforms(grid.spacing, grid.origin)], [tuple(labels.shape)]
    described = _metadata(path.name, _axes(grid), levels, {}, "0.5")
    with replacing(path) as scratch:
        _write_group(scratch, labels, grid.axes, shapes, "0.5", described, _PAINTED, chunk)


def write_into(
    source: str | Path,
    name: str,
    labels: np.ndarray,
    recipe: dict[str, Any],
    grid: Grid,
    scene: int | str | None = None,
) -> Path:
    """Write labels into the OME-Zarr image that was segmented, as ``labels/NAME`` in its group.

    They have the levels, axes and transformations of the image, from the level on that was
    segmented, and its version of OME-Zarr. Earlier labels of this name that SegLite wrote are
    replaced.

    Parameters
    ----------
    source : str or Path
        The image; an image of several may be chosen after ``#``, see `split_scene`.
    name : str
        Of the labels.
    labels : ndarray
        Integer, of the shape of the image or of one of its levels, without channels.
    recipe : dict
        Plain JSON data that `recipe_of` returns.
    grid : Grid
        With the axes of the labels.
    scene : int or str, optional
        Of a source with several images: the number from 1, or the name.

    Returns
    -------
    Path
        Of the labels.

    Raises
    ------
    ImageError
        If the source is no OME-Zarr folder or cannot be written, the labels do not fit it, or
        there are labels of this name that SegLite did not write.
    """
    path, chosen = split_scene(source)
    if problem := name_problem(name):
        raise ImageError(f"{path}: labels cannot have the name {name!r}: {problem}.")
    with _explained(path):
        return _write_into(path, name, labels, recipe, grid, chosen if scene is None else scene)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except ImageError as error:
        text = str(error)
        raise ImageError(text if str(path) in text else f"{path}: {text}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(f"{path}: labels cannot be written into this image ({reason}).") from error


def _write_into(
    path: Path,
    name: str,
    labels: np.ndarray,
    recipe: dict[str, Any],
    grid: Grid,
    scene: int | str | None,
) -> Path:
    from .zarr_files import Folder, find, open_pixels

    if not path.is_dir() or not ome_zarr.is_zarr(path):
        raise ImageError("labels are written into OME-Zarr folders only.")
    store = Folder(path, read_only=True)
    number = 0 if scene is None else scene_number(scene, ome_zarr.scenes(path) or (path.stem,))
    place = ome_zarr.place_of(store, "", number)
    if place.node.kind == "array":
        raise ImageError("an array without metadata of OME-Zarr has no place for labels.")
    folder = path / place.node.path / "labels"
    if not folder.resolve().is_relative_to(path.resolve()):
        raise ImageError(f"{folder} is a link that leads out of the image.")
    target = folder / name
    if target.exists() and not recipe_of(target):
        raise ImageError(f"{target}: there are labels of this name that SegLite did not write.")
    scales = metadata.multiscales(place.node.attributes)[place.entry]
    nodes, _ = ome_zarr.level_nodes(store, place.node, scales)
    shapes = [tuple(open_pixels(store, node, path).shape) for node, _ in nodes]
    said = [metadata.calibration(scales, level, len(shapes[0])) for _, level in nodes]
    kept = [k for k, letter in enumerate(said[0].letters) if letter != "C"]
    axes = "".join(said[0].letters[k] for k in kept)
    shapes = [tuple(shape[k] for k in kept) for shape in shapes]
    labels, first = _fitted(labels, grid.axes, axes, shapes)
    levels = [
        transforms([each.sizes[a] for a in axes], [each.origin[a] for a in axes])
        for each in said[first:]
    ]
    names = [axis.name for axis in metadata.axes_of(scales, len(said[0].letters))]
    described = _metadata(
        name,
        [_axis(names[k], a, said[0].units.get(a)) for k, a in zip(kept, axes, strict=True)],
        levels,
        {"source": {"image": "../../"}},
        version := "0.4" if place.node.zarr_format == 2 else "0.5",
    )
    inside = folder.relative_to(path).as_posix()
    with replacing(target) as scratch:
        _write_group(scratch, labels, axes, shapes[first:], version, described, recipe)
    _list(folder, find(store, inside), name, version)
    return target


def _fitted(
    labels: np.ndarray, order: str, axes: str, shapes: Sequence[tuple[int, ...]]
) -> tuple[np.ndarray, int]:
    """Return labels with the axes of an image, and the number of its level that they fit."""
    there = [axis for axis in axes if axis in order]
    if sorted(there) == sorted(order) and len(set(axes)) == len(axes):
        turned = np.asarray(labels).transpose([order.index(axis) for axis in there])
        whole = turned[tuple(slice(None) if axis in there else None for axis in axes)]
        for number, shape in enumerate(shapes):
            if whole.shape == shape:
                return whole, number
    raise ImageError(
        f"labels {order} of the shape {labels.shape} fit none of its levels, which are {axes} of "
        f"the shapes {', '.join(map(str, shapes))} without channels."
    )


# ------------------------------------------------------------------ metadata
def _axes(grid: Grid) -> list[dict[str, Any]]:
    units = (None if unit == "pixel" else long_unit(unit) for unit in grid.units)
    return [_axis(a.lower(), a, unit) for a, unit in zip(grid.axes, units, strict=True)]


def _axis(name: str, letter: str, unit: str | None) -> dict[str, Any]:
    return {"name": name, "type": _TYPES[letter], **({"unit": unit} if unit else {})}


def transforms(spacing: Sequence[float], origin: Sequence[float]) -> list[dict[str, Any]]:
    """Return the transformations of a level: its pixel size and, if it is not 0, its place."""
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": list(spacing)}]
    if any(origin):
        steps.append({"type": "translation", "translation": list(origin)})
    return steps


def described(
    name: str, grid: Grid, levels: Sequence[list[dict[str, Any]]], version: str = "0.5"
) -> dict[str, Any]:
    """Return the metadata of labels that lie on a grid; `levels` are their `transforms`."""
    return _metadata(name, _axes(grid), levels, {}, version)


def _metadata(
    name: str,
    axes: list[dict[str, Any]],
    levels: Sequence[list[dict[str, Any]]],
    label: dict[str, Any],
    version: str,
) -> dict[str, Any]:
    """Return the metadata of labels, given the transformations of their levels."""
    datasets = [
        {"path": str(k), "coordinateTransformations": steps} for k, steps in enumerate(levels)
    ]
    scales: dict[str, Any] = {"name": name, "axes": axes, "datasets": datasets}
    found: dict[str, Any] = {"multiscales": [scales], "image-label": {"version": version, **label}}
    if version == "0.4":
        scales["version"] = version
        return found
    return {"ome": {"version": version, **found}}


def _list(folder: Path, node: Node | None, name: str, version: str) -> None:
    """Add a name to those in the folder of an image's labels."""
    attributes = {} if node is None else dict(node.attributes)
    inner = attributes.get("ome")
    held = inner if isinstance(inner, dict) else attributes
    earlier = held.get("labels")
    names = earlier if isinstance(earlier, list) else []
    if name in names and node is not None:
        return
    listed = {"labels": [*names, name]}
    if version == "0.4":
        if not (folder / ".zgroup").exists():
            _write_json(folder / ".zgroup", {"zarr_format": 2})
        _write_json(folder / ".zattrs", {**attributes, **listed})
        return
    attributes["ome"] = {"version": version, **(inner if isinstance(inner, dict) else {}), **listed}
    file = folder / "zarr.json"
    group = json.loads(file.read_text("utf-8")) if file.exists() else {}
    group = {"zarr_format": 3, "node_type": "group", **group, "attributes": attributes}
    _write_json(file, group)


def _write_json(file: Path, data: dict[str, Any]) -> None:
    with replacing(file) as scratch:
        scratch.write_text(json.dumps(data, indent=1), "utf-8")


# ------------------------------------------------------------------ pixels
def _write_group(
    folder: Path,
    labels: ArrayLike,
    axes: str,
    shapes: Sequence[tuple[int, ...]],
    version: str,
    described: dict[str, Any],
    recipe: dict[str, Any],
    chunk: int = CHUNK,
) -> None:
    """Write labels as a Zarr group, with levels of the given shapes."""
    import zarr

    old = version == "0.4"
    group = zarr.create_group(folder, zarr_format=2 if old else 3)
    slashes: Any = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if old else {}
    level: Any = labels
    for number, shape in enumerate(shapes):
        if number:
            level = Picked(level, shape)
        sizes = zip(shape, axes, strict=True)
        chunks = tuple(min(n, chunk) if axis in "YX" else 1 for n, axis in sizes)
        stored: Any = group.create_array(
            str(number), shape=shape, dtype=labels.dtype, chunks=chunks, **slashes
        )
        chunked.copy(level, stored)
        level = stored
    group.attrs.update({**described, "seglite": recipe or _PAINTED})


class Picked:
    """An array at the pixels nearest to those of a coarser one, read when it is indexed."""

    def __init__(self, array: ArrayLike, shape: tuple[int, ...]) -> None:
        self.array, self.shape, self.dtype = array, shape, array.dtype
        self.picks = [_picks(n, m) for n, m in zip(shape, array.shape, strict=True)]

    def __getitem__(self, where: tuple[Any, ...]) -> np.ndarray:
        around: list[Any] = []
        inner: list[np.ndarray] = []
        for index, picks in zip(where, self.picks, strict=True):
            chosen = picks[index]
            if isinstance(index, slice):
                around.append(slice(int(chosen[0]), int(chosen[-1]) + 1))
                inner.append(chosen - chosen[0])
            else:
                around.append(int(chosen))
        block = np.asarray(self.array[tuple(around)])
        return np.asarray(block[np.ix_(*inner)])


def _picks(count: int, finer: int) -> np.ndarray:
    """Return the finer pixels that a number of coarser ones show: every n-th, where that fits."""
    step = max(1, round(finer / count))
    if abs(finer - count * step) < step:
        return np.arange(count) * step
    return np.arange(count) * finer // count
