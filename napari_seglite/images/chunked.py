"""Arrays that are too large for memory live in a temporary folder, in chunks."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from .axes import ImageAxes

# Larger arrays go to a temporary folder.
IN_MEMORY = 500_000_000
# Edge of a chunk in pixels; slices and pixels that are worked on at a time.
CHUNK, DEPTH, BLOCK_PIXELS = 512, 64, 8_388_608

Block = tuple[slice, ...]


def zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array of zeros: NumPy, or Zarr in a folder that goes when the array does.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : data-type
        Of the array.
    """
    if math.prod(shape) * np.dtype(dtype).itemsize <= IN_MEMORY:
        return np.zeros(shape, dtype)
    import zarr

    # Single planes of the last two axes, cut into pieces.
    chunks = (1,) * (len(shape) - 2) + tuple(min(n, CHUNK) for n in shape[-2:])
    folder = tempfile.mkdtemp(prefix="seglite-")
    array = zarr.create_array(folder, shape=shape, dtype=dtype, chunks=chunks)
    weakref.finalize(array, shutil.rmtree, folder, ignore_errors=True)
    return array


def blocks(shape: tuple[int, ...]) -> Iterator[Block]:
    """Cut planes ``(H, W)`` or a volume ``(Z, H, W)`` into blocks, in raster order.

    Planes are cut at multiples of `CHUNK`.
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
    """Frames of labels whose axes lie in any order, read and written box by box.

    Parameters
    ----------
    labels : array
        NumPy or Zarr, of an image's shape without channels.
    axes : ImageAxes
        Of the image.
    shape : tuple of int
        Of the image.
    frames : sequence of int, optional
        Which frames are meant by 0, 1, ...; all if not given.
    corner : tuple of int
        Row and column of the frames that are meant by ``(0, 0)``.
    """

    def __init__(
        self,
        labels: Any,
        axes: ImageAxes,
        shape: tuple[int, ...],
        frames: Sequence[int] | None = None,
        corner: tuple[int, int] = (0, 0),
    ) -> None:
        self.labels, self._axes, self._corner = labels, axes, corner
        self._sizes = axes.stack_shape(shape)
        self._frames = range(axes.frame_count(shape)) if frames is None else frames

    def read(self, frame: int, rows: slice, columns: slice) -> np.ndarray:
        """Return a box of a frame."""
        plane = np.asarray(self.labels[self._where(frame, rows, columns)])
        return plane.T if self._turned else plane

    def write(self, frame: int, rows: slice, columns: slice, values: np.ndarray) -> None:
        """Write a box of a frame."""
        self.labels[self._where(frame, rows, columns)] = values.T if self._turned else values

    def _where(self, frame: int, rows: slice, columns: slice) -> tuple[Any, ...]:
        place = np.unravel_index(self._frames[frame], self._sizes)
        top, left = self._corner
        where: dict[str, Any] = {
            "Y": slice(rows.start + top, rows.stop + top),
            "X": slice(columns.start + left, columns.stop + left),
        }
        where |= {axis: int(k) for axis, k in zip(self._axes.stack, place, strict=True)}
        return tuple(where[axis] for axis in self._axes.labels)

    @property
    def _turned(self) -> bool:
        return self._axes.labels.index("X") < self._axes.labels.index("Y")
