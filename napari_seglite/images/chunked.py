"""Arrays of any kind, read and written block by block; large ones in a temporary folder."""

from __future__ import annotations

import math
import shutil
import weakref
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .arrays import ArrayLike, WritableArray
from .axes import ImageAxes
from .scratch import scratch_folder

# Bytes; larger arrays go to a temporary folder.
IN_MEMORY = 500_000_000
# Side of a chunk in pixels; most slices and about the most pixels of a block.
CHUNK, DEPTH, BLOCK_PIXELS = 512, 64, 8_388_608

Block = tuple[slice, ...]


def zeros(shape: tuple[int, ...], dtype: DTypeLike, in_memory: int | None = None) -> WritableArray:
    """Return an array of zeros, in memory or in a temporary folder.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : data-type
        Of the array.
    in_memory : int, optional
        Bytes; larger arrays go to a temporary folder. `IN_MEMORY` if not given.

    Returns
    -------
    array
        NumPy up to `in_memory` bytes; else Zarr in chunks of single planes, in a temporary folder
        that is removed together with the array, when the program exits or, if it was killed, when
        another one needs such a folder.
    """
    in_memory = IN_MEMORY if in_memory is None else in_memory
    if math.prod(shape) * np.dtype(dtype).itemsize <= in_memory:
        return np.zeros(shape, dtype)
    import zarr

    # Single planes of the last two axes, cut into pieces.
    chunks = (1,) * (len(shape) - 2) + tuple(min(n, CHUNK) for n in shape[-2:])
    folder = scratch_folder()
    array = zarr.create_array(folder, shape=shape, dtype=dtype, chunks=chunks)
    weakref.finalize(array, shutil.rmtree, folder, ignore_errors=True)
    return array


def converted(array: WritableArray, dtype: DTypeLike) -> WritableArray:
    """Return an array in another dtype; one in a temporary folder stays in such a folder.

    Parameters
    ----------
    array : array
        As `zeros` returned it.
    dtype : data-type
        That holds all of its numbers.
    """
    if isinstance(array, np.ndarray):
        return array.astype(dtype, copy=False)
    if array.dtype == dtype:
        return array
    target = zeros(tuple(array.shape), dtype, in_memory=0)
    copy(array, target)
    return target


def copy(source: ArrayLike, target: WritableArray) -> None:
    """Write an array into another of its shape and wide enough, plane by plane in `blocks`."""
    for plane in np.ndindex(tuple(target.shape[:-2])):
        for block in blocks(tuple(target.shape[-2:])):
            values = np.asarray(source[(*plane, *block)])
            target[(*plane, *block)] = values.astype(target.dtype, copy=False)


def blocks(shape: tuple[int, ...]) -> Iterator[Block]:
    """Cut a plane ``(H, W)`` or a volume ``(Z, H, W)`` into blocks.

    Rows and columns are cut at multiples of `CHUNK`, so that no chunk is read twice.

    Parameters
    ----------
    shape : tuple of int
        Of the plane or volume.

    Yields
    ------
    tuple of slice
        The index of a block of about `BLOCK_PIXELS` pixels, in raster order.
    """
    sizes = [min(n, DEPTH) for n in shape[:-2]] + [CHUNK, CHUNK]
    while math.prod(sizes) * 2 <= BLOCK_PIXELS:
        axis = -1 if sizes[-1] <= sizes[-2] else -2
        sizes[axis] *= 2
    ranges = [
        [slice(a, min(a + size, n)) for a in range(0, n, size)]
        for n, size in zip(shape, sizes, strict=True)
    ]
    yield from product(*ranges)


class LabelFrames:
    """The frames of labels with axes in any order, read and written box by box.

    Parameters
    ----------
    labels : WritableArray
        Of the image's shape without channels.
    axes : ImageAxes
        Of the image.
    shape : tuple of int
        Of the image.
    frames : sequence of int, optional
        Numbers, in the labels, of the frames that this object numbers 0, 1, ...; all if not given.
    corner : tuple of int
        Row and column, in the labels, of the pixel that this object addresses as ``(0, 0)``.
    """

    def __init__(
        self,
        labels: WritableArray,
        axes: ImageAxes,
        shape: tuple[int, ...],
        frames: Sequence[int] | None = None,
        corner: tuple[int, int] = (0, 0),
    ) -> None:
        self.labels, self._axes, self._corner = labels, axes, corner
        self._sizes = axes.stack_shape(shape)
        self._frames = range(axes.frame_count(shape)) if frames is None else frames

    def read(self, frame: int, rows: slice, columns: slice) -> np.ndarray:
        """Return a box of a frame.

        Parameters
        ----------
        frame : int
            Its number.
        rows, columns : slice
            The box in the frame.

        Returns
        -------
        ndarray
            ``(rows, columns)`` in the dtype of the labels.
        """
        plane = np.asarray(self.labels[self._where(frame, rows, columns)])
        return plane.T if self._transposed else plane

    def write(self, frame: int, rows: slice, columns: slice, values: np.ndarray) -> None:
        """Write a box of a frame.

        Parameters
        ----------
        frame : int
            Its number.
        rows, columns : slice
            The box in the frame.
        values : ndarray
            ``(rows, columns)``.
        """
        self.labels[self._where(frame, rows, columns)] = values.T if self._transposed else values

    def _where(self, frame: int, rows: slice, columns: slice) -> tuple[Any, ...]:
        position = np.unravel_index(self._frames[frame], self._sizes)
        top, left = self._corner
        where: dict[str, Any] = {
            "Y": slice(rows.start + top, rows.stop + top),
            "X": slice(columns.start + left, columns.stop + left),
        }
        where |= {axis: int(k) for axis, k in zip(self._axes.stack, position, strict=True)}
        return tuple(where[axis] for axis in self._axes.labels)

    @property
    def _transposed(self) -> bool:
        return self._axes.labels.index("X") < self._axes.labels.index("Y")
