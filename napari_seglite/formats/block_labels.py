"""Labels as OME-Zarr whose metadata come first, and whose pixels many processes write later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..errors import ImageError
from ..images import Grid, chunked
from . import ome_zarr_labels
from .ome_zarr import recipe_of
from .remote import is_remote

CHUNK = ome_zarr_labels.CHUNK
# Coarser levels are written together with a block while its part of them has at least this side.
_SMALLEST = 128


@dataclass(frozen=True)
class BlockLabels:
    """Labels on disk, or in a store elsewhere, that are written block by block.

    Attributes
    ----------
    place : str
        Path or address of the group.
    levels : tuple of array
        Zarr arrays, the finest first; each takes every other pixel of the finer one along Y and X.
    axes : str
        Of the labels.
    by_block : int
        How many levels, the finest included, are written block by block, so that no chunk of them
        belongs to two blocks. `write_coarsest` writes the others.
    """

    place: str
    levels: tuple[Any, ...]
    axes: str
    by_block: int

    def read(self, where: dict[str, int | slice]) -> np.ndarray:
        """Return a block of the finest level; see `write`."""
        return np.asarray(self.levels[0][tuple(where[axis] for axis in self.axes)])

    def write(self, where: dict[str, int | slice], values: np.ndarray, *, coarser: bool) -> None:
        """Write a block.

        Parameters
        ----------
        where : dict
            Its place along every axis. Along Y and X, it begins where a block does.
        values : ndarray
            The axes that have a slice, in the order of the labels.
        coarser : bool
            Whether to write the coarser levels of the block, too.
        """
        kept = [axis for axis in self.axes if isinstance(where[axis], slice)]
        for number, level in enumerate(self.levels[: self.by_block if coarser else 1]):
            step = 1 << number
            there = {
                axis: slice(place.start // step, -(-place.stop // step))
                if axis in "YX" and isinstance(place, slice)
                else place
                for axis, place in where.items()
            }
            picked = values[tuple(slice(None, None, step if a in "YX" else 1) for a in kept)]
            level[tuple(there[axis] for axis in self.axes)] = picked

    def write_coarsest(self) -> None:
        """Write the levels that no block writes, each from the one before."""
        for finer, coarse in zip(self.levels, self.levels[1:], strict=False):
            if coarse in self.levels[: self.by_block]:
                continue
            chunked.copy(ome_zarr_labels.Picked(finer, coarse.shape), coarse)

    def mark_finished(self) -> None:
        """Say in the metadata that all pixels are there, and remove what killed writers left."""
        import zarr

        if not is_remote(self.place):
            for unfinished in Path(self.place).rglob("*.partial"):  # of Zarr's atomic writes
                unfinished.unlink(missing_ok=True)
        group = zarr.open_group(_store(self.place), mode="r+", zarr_format=3)
        recipe: Any = dict(group.attrs)["seglite"]
        group.attrs["seglite"] = {k: v for k, v in recipe.items() if k != "unfinished"}


def _store(place: str) -> Any:
    if not is_remote(place):
        return Path(place)
    from .zarr_files import Remote

    return Remote.at(place, read_only=False)


def _levels_by_block(side: int) -> int:
    """Return how many levels a block of a side in pixels writes by itself."""
    count = 1
    while side >> count >= _SMALLEST and (side >> count) % min(CHUNK, side >> count) == 0:
        count += 1
    return count


def check_free(place: str) -> None:
    """See whether labels can be written block by block at a place.

    Raises
    ------
    ImageError
        If there is something of this name, or the name has another ending.
    """
    if not place.rstrip("/").lower().endswith(".zarr"):
        raise ImageError(f"{place}: labels in blocks are written as OME-Zarr, ending in .zarr.")
    if recipe_of(place) or (not is_remote(place) and Path(place).exists()):
        raise ImageError(
            f"{place}: there is something of this name. Move it away, or choose another name."
        )


def create_labels(
    place: str,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    grid: Grid,
    block: tuple[int, int, int],
    recipe: dict[str, Any],
) -> None:
    """Write the metadata of labels, and no pixels; they are 0 until they are written.

    Parameters
    ----------
    place : str
        Path of a folder whose name ends in ``.zarr``, or an address; what is there is replaced.
    shape : tuple of int
        Of the labels.
    dtype : data-type
        Of the labels.
    grid : Grid
        Where they lie; names their axes.
    block : tuple of int
        Edges along Z, Y and X of the blocks that processes will write. A block is one shard, which
        holds whole chunks.
    recipe : dict
        Plain JSON data that `recipe_of` returns.

    """
    import zarr

    side = block[1]
    by_block = _levels_by_block(side)
    shapes, grids = ome_zarr_labels.pyramid(shape, grid)
    steps = [ome_zarr_labels.transforms(each.spacing, each.origin) for each in grids]
    name = place.rstrip("/").rpartition("/")[2].split(".")[0]
    described = ome_zarr_labels.described(name, grid, steps)
    group = zarr.create_group(
        _store(place),
        zarr_format=3,
        overwrite=True,
        attributes={**described, "seglite": {**recipe, "unfinished": True}},
    )
    for number, size in enumerate(shapes):
        chunk = min(CHUNK, side >> number) if number < by_block else CHUNK
        chunks = tuple(chunk if axis in "YX" else 1 for axis in grid.axes)
        edges = {"T": 1, "Z": block[0], "Y": side, "X": block[2]}
        whole = tuple(edges[axis] for axis in grid.axes)
        shards = whole if number == 0 and whole != chunks else None
        group.create_array(
            str(number), shape=size, dtype=dtype, chunks=chunks, shards=shards, fill_value=0
        )


def open_labels(place: str, axes: str, side: int) -> BlockLabels:
    """Open labels that `create_labels` made, to write their blocks.

    Parameters
    ----------
    place : str
        As for `create_labels`.
    axes : str
        Of the labels.
    side : int
        Edge of the blocks along Y and X.
    """
    import zarr

    group = zarr.open_group(_store(place), mode="r+", zarr_format=3)
    names = sorted((name for name, _ in group.arrays()), key=int)
    levels = tuple(group[name] for name in names)
    return BlockLabels(place, levels, axes, min(_levels_by_block(side), len(levels)))
