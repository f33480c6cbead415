"""OME-Zarr 0.4 and 0.5: multiscale images and stacks, and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import ArrayLike, Grid, blocks
from .atomic import replacing
from .image_file import ImageFile

# Names of units in OME-Zarr.
_LONG = {"um": "micrometer", "nm": "nanometer", "mm": "millimeter"}
_TYPES = {"T": "time", "Z": "space", "Y": "space", "X": "space"}
# Side of the chunks in pixels.
CHUNK = 512


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the images in an OME-Zarr folder."""
    return ()


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Open an OME-Zarr image, or a Zarr array without metadata on its axes; no pixels are read yet.

    Raises
    ------
    ImageError
        If the folder holds no image.
    """
    import zarr

    node: Any = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return ImageFile.from_levels([node], str(node.attrs.get("axes", "?")))
    scales = _multiscales(node)
    if scales is None and "0" in node:  # as bioformats2raw lays out its series
        node = node["0"]
        scales = _multiscales(node)
    if scales is None:
        raise ImageError("the folder holds no OME-Zarr image; give the folder of one image.")
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in scales["axes"]]
    datasets = scales["datasets"]
    factors = np.ones(len(axes))
    for entry in [
        *datasets[0].get("coordinateTransformations", ()),
        *scales.get("coordinateTransformations", ()),
    ]:
        if entry["type"] == "scale":
            factors *= entry["scale"]
    letters = "".join(axis["name"] for axis in axes).upper()
    levels = [node[dataset["path"]] for dataset in datasets]
    sizes = dict(zip(letters, factors.tolist(), strict=True))
    units = {
        letter: str(axis["unit"])
        for letter, axis in zip(letters, axes, strict=True)
        if "unit" in axis
    }
    return ImageFile.from_levels(levels, letters, sizes, units)


def _multiscales(node: Any) -> dict[str, Any] | None:
    attributes = node.attrs.asdict()
    multiscales = attributes.get("ome", attributes).get("multiscales")
    return multiscales[0] if multiscales else None


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
        Integer.
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
        If the folder exists and SegLite did not write it.
    """
    import zarr

    axes, spacing, unit = grid.axes, grid.spacing, grid.unit
    if path.exists() and not recipe_of(path):
        raise ImageError(f"{path}: there is a folder of this name that SegLite did not write.")
    with replacing(path) as scratch:
        group = zarr.create_group(scratch, zarr_format=2 if version == "0.4" else 3)
        levels = _write_levels(group, labels, spacing, axes, version)
        name = path.name.split(".")[0]
        group.attrs.update(
            {
                **_metadata(name, levels, unit, axes, version),
                "seglite": recipe or {"labels": "painted"},
            }
        )


def write_editable(
    path: Path, labels: ArrayLike, spacing: tuple[float, ...], unit: str, axes: str, chunk: int
) -> None:
    """Write labels of one level in small chunks, which can be replaced one by one later.

    Parameters
    ----------
    path : Path
        Of the folder, which is replaced.
    labels : ArrayLike
        Integer, of any size.
    spacing : tuple of float
        Size of a pixel along every axis.
    unit : str
        Of the spacing.
    axes : str
        One letter per axis of the labels.
    chunk : int
        Side of a chunk along Y and X in pixels; 1 along the other axes.
    """
    import zarr

    chunks = tuple(
        min(n, chunk) if a in "YX" else 1 for n, a in zip(labels.shape, axes, strict=True)
    )
    transforms = [{"type": "scale", "scale": list(map(float, spacing))}]
    level = {"path": "0", "coordinateTransformations": transforms}
    with replacing(path) as scratch:
        group = zarr.create_group(scratch)
        stored = group.create_array("0", shape=labels.shape, dtype=labels.dtype, chunks=chunks)
        for plane in np.ndindex(labels.shape[:-2]):
            for block in blocks(labels.shape[-2:]):
                stored[(*plane, *block)] = np.asarray(labels[(*plane, *block)])
        group.attrs.update(
            {**_metadata(path.name, [level], unit, axes, "0.5"), "seglite": {"labels": "painted"}}
        )


def _metadata(
    name: str, levels: list[dict[str, Any]], unit: str, axes: str, version: str
) -> dict[str, Any]:
    units = {} if unit == "pixel" else {"unit": _LONG.get(unit, unit)}
    scales: dict[str, Any] = {
        "name": name,
        "axes": [
            {"name": a.lower(), "type": _TYPES[a], **(units if a in "ZYX" else {})} for a in axes
        ],
        "datasets": levels,
    }
    metadata: dict[str, Any] = {"multiscales": [scales], "image-label": {"version": version}}
    if version == "0.4":
        scales["version"] = version
        return metadata
    return {"ome": {"version": version, **metadata}}


def _write_levels(
    group: Any, labels: np.ndarray, spacing: tuple[float, ...], axes: str, version: str
) -> list[dict[str, Any]]:
    """Write all levels and return their entries in the metadata."""
    slashes = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if version == "0.4" else {}
    step = np.array([2 if axis in "YX" else 1 for axis in axes])
    level: ArrayLike = labels
    scale = np.array(spacing)
    entries: list[dict[str, Any]] = []
    while True:
        path = str(len(entries))
        sizes = zip(level.shape, axes, strict=True)
        chunks = tuple(min(n, CHUNK) if axis in "YX" else 1 for n, axis in sizes)
        stored = group.create_array(
            path, shape=level.shape, dtype=level.dtype, chunks=chunks, **slashes
        )
        for plane in np.ndindex(level.shape[:-2]):
            for block in blocks(level.shape[-2:]):
                stored[(*plane, *block)] = level[(*plane, *block)]
        transforms = [{"type": "scale", "scale": scale.tolist()}]
        entries.append({"path": path, "coordinateTransformations": transforms})
        if max(level.shape[axes.index(axis)] for axis in "YX") <= CHUNK:
            return entries
        level, scale = _Thinned(stored, step), scale * step


class _Thinned:
    """Every n-th entry along each axis of an array, read when it is indexed."""

    def __init__(self, array: ArrayLike, step: np.ndarray) -> None:
        self.array, self.step, self.dtype = array, step, array.dtype
        self.shape = tuple(-(-n // int(k)) for n, k in zip(array.shape, step, strict=True))

    def __getitem__(self, where: tuple[Any, ...]) -> np.ndarray:
        finer = [
            slice(index.start * int(n), (index.stop - 1) * int(n) + 1, int(n))
            if isinstance(index, slice)
            else index * int(n)
            for index, n in zip(where, self.step, strict=True)
        ]
        return np.asarray(self.array[tuple(finer)])


def recipe_of(path: Path) -> dict[str, Any]:
    """Return the recipe stored by `write`; empty if there is none."""
    import zarr

    try:
        node: Any = zarr.open(path, mode="r")
        return dict(node.attrs.get("seglite", {}))
    except (OSError, ValueError, TypeError):
        return {}
