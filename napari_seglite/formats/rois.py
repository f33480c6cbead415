"""Objects as regions of ImageJ, which hold holes and parts to the pixel."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ImageError
from .atomic import replacing
from .planes import planes

if TYPE_CHECKING:
    from roifile import ImagejRoi

# Segments of the path of a composite region.
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0


def write_rois(path: str | Path, labels: np.ndarray, axes: str = "") -> int:
    """Write all objects as a zip of ImageJ regions, one for each object and frame.

    An object in one part without holes gives a traced polygon, any other a composite region; either
    encloses the middles of exactly the object's pixels. In a stack, regions have ImageJ's position
    along Z and T, of all channels, and the name that ImageJ gives itself, with the object's number
    behind it: slice, y, x, number.

    Parameters
    ----------
    path : str or Path
        Ending in ``.zip``.
    labels : ndarray
        Integer, one number per object; 0 is background, and so are negative numbers, which mean
        unlabelled. True is an object.
    axes : str
        Letters of the axes, in any order; the last ones of TZYX if not given.

    Returns
    -------
    int
        Number of regions written.

    Raises
    ------
    ImageError
        If there is no object.
    """
    axes = axes or "TZYX"[-labels.ndim :]
    slices = labels.shape[axes.index("Z")] if "Z" in axes else 1
    count = 0
    with replacing(Path(path)) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for place, plane in planes(labels, axes):
                for number, corner, mask in _objects(plane):
                    region = _region(f"{number:05d}", corner, mask)
                    if place:
                        _put(region, place, slices)
                    archive.writestr(f"{region.name}.roi", region.tobytes())
                    count += 1
        if not count:
            raise ImageError(f"{path}: there is no object to write.")
    return count


def _objects(plane: np.ndarray) -> Iterator[tuple[int, tuple[int, int], np.ndarray]]:
    """Yield the number, the first row and column, and the mask ``(h, w)`` of every object."""
    from scipy.ndimage import find_objects

    numbers, positions = np.unique(plane, return_inverse=True)
    first = int(np.count_nonzero(numbers <= 0))
    compact = np.maximum(positions.reshape(plane.shape) - (first - 1), 0)
    for k, box in enumerate(find_objects(compact), start=1):
        corner = box[0].start, box[1].start
        yield int(numbers[first + k - 1]), corner, compact[box] == k


def _region(name: str, corner: tuple[int, int], mask: np.ndarray) -> ImagejRoi:
    """Return the region of a mask whose first pixel lies at a row and column."""
    from roifile import ROI_TYPE, ImagejRoi

    loops = [loop + np.array(corner[::-1]) for loop in outlines(mask)]
    if len(loops) == 1:
        region = ImagejRoi.frompoints(loops[0], name=name)
        region.roitype = ROI_TYPE.TRACED
    else:
        region = ImagejRoi(name=name)
        region.roitype = ROI_TYPE.RECT
        region.multi_coordinates = np.concatenate([_path(loop) for loop in loops])
        region.shape_roi_size = region.multi_coordinates.size
    (region.top, region.left), (height, width) = corner, mask.shape
    region.bottom, region.right = region.top + height, region.left + width
    return region


def _path(loop: np.ndarray) -> np.ndarray:
    """Return a closed loop as float32 segments of a path."""
    segments = np.empty((len(loop), 3), np.float32)
    segments[:, 0], segments[:, 1:] = _LINE, loop
    segments[0, 0] = _MOVE
    return np.append(segments.ravel(), np.float32(_CLOSE))


def _put(region: ImagejRoi, place: dict[str, int], slices: int) -> None:
    """Give a region the position of its frame, by the name too, which ImageJ reads for stacks."""
    position = place.get("T", 0) * slices + place.get("Z", 0) + 1
    if len(place) == 1:  # in a stack without a second axis ImageJ knows the number of a slice only
        region.position = position
    region.t_position = place["T"] + 1 if "T" in place else 0
    region.z_position = place["Z"] + 1 if "Z" in place else 0
    y, x = (region.top + region.bottom) // 2, (region.left + region.right) // 2
    digits = max(4, len(str(max(position, y, x))))
    region.name = "-".join(f"{n:0{digits}d}" for n in (position, y, x)) + f"-{region.name}"


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Return the closed loops that separate a mask from its surroundings, along edges of pixels.

    Pixels that touch only at corners are separated. The mask is what the loops enclose an odd
    number of times, and also what they wind around: holes run the other way.

    Parameters
    ----------
    mask : ndarray
        ``(H, W)`` bool.

    Returns
    -------
    list of ndarray
        Of each loop the corners ``(N, 2)`` int64, x and y; the first is not repeated at the end.
    """
    inside = np.pad(np.asarray(mask, bool), 1)
    # The four pixels around every corner of pixels: above left, above right, below left and right.
    a, b, c, d = inside[:-1, :-1], inside[:-1, 1:], inside[1:, :-1], inside[1:, 1:]
    falling, rising = a & d & ~b & ~c, b & c & ~a & ~d
    y, x = np.nonzero((a ^ b ^ c ^ d) | falling | rising)
    twice = (falling | rising)[y, x]  # where two pixels touch, two loops turn
    y, x = np.repeat(y, 1 + twice), np.repeat(x, 1 + twice)
    second = np.zeros(y.size, bool)
    second[1:] = (y[1:] == y[:-1]) & (x[1:] == x[:-1])
    # Along every row, edges lead from the first corner to the second, the third to the fourth, and
    # so on; likewise down every column.
    columns = np.lexsort((second ^ rising[y, x], y, x))
    below = np.empty(y.size, np.int64)
    below[columns] = columns[np.arange(y.size) ^ 1]
    return [
        np.stack([x[loop], y[loop]], 1)[:: 1 if inside[y[loop[0]] + 1, x[loop[0]] + 1] else -1]
        for loop in _loops(below.tolist())
    ]


def _loops(below: list[int]) -> Iterator[list[int]]:
    """Yield loops of corners that follow rows, to the neighbour of each pair, and columns."""
    seen = bytearray(len(below))
    for start in range(len(below)):
        loop: list[int] = []
        k = start
        while not seen[k]:
            loop += [k, k ^ 1]
            seen[k] = seen[k ^ 1] = 1
            k = below[k ^ 1]
        if loop:
            yield loop
