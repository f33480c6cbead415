"""Connected parts of a mask, and the objects in them, found block by block.

A mask of any size is read in blocks; parts that reach over a border are put together. What comes
out does not depend on the blocks: every part is split by itself, and objects are numbered in the
order of their first pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from .arrays import Block, blocks

# Bumps of the smoothed distance to the background lower than this do not split an object
# in two. In sixteenths of a pixel: whole numbers know no rounding.
SIXTEENTHS = 16
SPLIT_DEPTH = 8
# Pixels that the smoothing sees on either side.
REACH = 4

Read = Callable[[Block], np.ndarray]
Write = Callable[[Block, np.ndarray], None]


@dataclass(frozen=True)
class Parts:
    """The connected parts of a mask.

    Attributes
    ----------
    read : callable
        Returns a block of the mask, boolean.
    shape : tuple of int
        Of the mask.
    blocks : tuple of Block
        Which the mask was read in.
    offsets : tuple of int
        Of every block, how many local parts there are in those before it.
    of : ndarray
        The part that every local part belongs to, by offset and local number.
    sizes, first : ndarray
        Pixels of every part, and its first pixel, counted in raster order.
    begin, end : ndarray
        ``(parts, axes)``, the box around every part.
    """

    read: Read
    shape: tuple[int, ...]
    blocks: tuple[Block, ...]
    offsets: tuple[int, ...]
    of: np.ndarray
    sizes: np.ndarray
    first: np.ndarray
    begin: np.ndarray
    end: np.ndarray

    def each(self) -> Iterator[tuple[Block, np.ndarray, np.ndarray]]:
        """Yield every block, its local parts (0 is background), and the parts they belong to."""
        for block, offset in zip(self.blocks, self.offsets, strict=True):
            local, count = ndi.label(self.read(block))
            yield block, local, self.of[offset : offset + count]


def find_parts(read: Read, shape: tuple[int, ...]) -> Parts:
    """Find the parts of a mask whose pixels touch along an edge.

    Parameters
    ----------
    read : callable
        Returns a block of the mask, boolean.
    shape : tuple of int
        Of the mask, ``(H, W)`` or ``(Z, H, W)``.
    """
    grid = tuple(blocks(shape))
    offsets, measured, joined = [], [], [np.zeros((0, 2), np.int64)]
    faces: dict[tuple[int, ...], np.ndarray] = {}
    total = 0
    for block in grid:
        local, count = ndi.label(read(block))
        corner = np.array([edge.start for edge in block])
        offsets.append(total)
        measured.append(_measured(local, count, corner, shape))
        for axis in range(len(shape)):
            before = faces.pop((axis, *corner), None)
            if before is not None:
                joined.append(_touching(before, _face(local, 0, axis, total)))
            behind = corner.copy()
            behind[axis] = block[axis].stop
            if behind[axis] < shape[axis]:
                faces[(axis, *behind)] = _face(local, -1, axis, total)
        total += count
    of = _joined(np.concatenate(joined) - 1, total)
    sizes, first, begin, end = (np.concatenate(column) for column in zip(*measured, strict=True))
    return Parts(
        read=read,
        shape=shape,
        blocks=grid,
        offsets=tuple(offsets),
        of=of,
        sizes=_gathered(np.add, sizes, of),
        first=_gathered(np.minimum, first, of),
        begin=_gathered(np.minimum, begin, of),
        end=_gathered(np.maximum, end, of),
    )


def _measured(
    local: np.ndarray, count: int, corner: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return sizes, first pixels, and where boxes begin and end, of the labels in a block."""
    sizes = np.bincount(local.ravel(), minlength=count + 1)[1:]
    found = [[(edge.start, edge.stop) for edge in box] for box in ndi.find_objects(local)]
    limits = np.array(found, np.int64).reshape(count, len(shape), 2)
    first = _first_pixels(local, count, corner, shape)
    return sizes, first, limits[..., 0] + corner, limits[..., 1] + corner


def _gathered(how: np.ufunc, values: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Combine the values of all that belongs together; `of` counts from 0 without gaps."""
    if not len(of):
        return values
    order = np.argsort(of, kind="stable")
    starts = np.flatnonzero(np.diff(of[order], prepend=-1))
    return np.asarray(how.reduceat(values[order], starts, axis=0))


def _first_pixels(
    labels: np.ndarray, count: int, corner: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Return where every label of a block begins, counted in raster order of the whole."""
    inside = np.flatnonzero(labels)[::-1]
    first = np.zeros(count + 1, np.int64)
    first[labels.ravel()[inside]] = inside  # the last one written is the first pixel
    places = np.array(np.unravel_index(first[1:], labels.shape)).T + corner
    return np.asarray(np.ravel_multi_index(tuple(places.T), shape), np.int64)


def _face(local: np.ndarray, place: int, axis: int, offset: int) -> np.ndarray:
    face = local.take(place, axis).astype(np.int64)
    return np.where(face > 0, face + offset, 0)


def _touching(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the pairs of labels that lie face to face, ``(pairs, 2)``."""
    both = (a > 0) & (b > 0)
    return np.unique(np.stack([a[both], b[both]], 1), axis=0)


def _joined(pairs: np.ndarray, count: int) -> np.ndarray:
    """Return for each of `count` things the number of the group that pairs put it into."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if count == 0:
        return np.zeros(0, np.int64)
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def split_parts(
    parts: Parts, min_size: int, write: Write, read_back: Read, top: int = 0
) -> list[int]:
    """Separate the objects that touch, and write them, numbered above `top`.

    Parameters
    ----------
    parts : Parts
        Of a mask.
    min_size : int
        Smaller objects are left out.
    write, read_back : callable
        Write a block of ids and read it again; 0 where nothing was written.

    Returns
    -------
    list of int
        Pixels of every object; in no order.
    """
    large = parts.sizes >= max(min_size, 1)
    # Of every object, in the order of their provisional ids.
    first: list[int] = []
    found: list[int] = []

    def add(mask: np.ndarray, corner: np.ndarray, ids: np.ndarray) -> None:
        beyond = np.array(parts.shape) - corner - mask.shape
        around = [(REACH * (a > 0), REACH * (b > 0)) for a, b in zip(corner, beyond, strict=True)]
        objects = split(mask, around)
        sizes = np.bincount(objects.ravel())
        starts = _first_pixels(objects, len(sizes) - 1, corner, parts.shape)
        for number in np.flatnonzero(sizes >= max(min_size, 1)):
            if number > 0:
                first.append(int(starts[int(number) - 1]))
                found.append(int(sizes[number]))
                ids[objects == number] = len(first)

    crossing = np.zeros(len(parts.sizes), bool)
    for block, local, of in parts.each():
        ids = np.zeros(local.shape, np.uint32)
        corner = np.array([edge.start for edge in block])
        stop = np.array([edge.stop for edge in block])
        here = (parts.begin[of] >= corner).all(1) & (parts.end[of] <= stop).all(1)
        crossing[of[~here]] = True
        for k, box in enumerate(ndi.find_objects(local)):
            if here[k] and large[of[k]]:
                add(local[box] == k + 1, corner + [edge.start for edge in box], ids[box])
        write(block, ids)
    for number in np.flatnonzero(crossing & large):
        begin, end = parts.begin[number], parts.end[number]
        box = tuple(slice(int(a), int(b)) for a, b in zip(begin, end, strict=True))
        local, _ = ndi.label(parts.read(box))
        place = np.array(np.unravel_index(parts.first[number], parts.shape)) - begin
        ids = read_back(box)
        add(local == local[tuple(place)], begin, ids)
        write(box, ids)
    order = np.zeros(len(first) + 1, np.uint32)
    order[np.argsort(first, kind="stable") + 1] = np.arange(1, len(first) + 1) + top
    for block in parts.blocks:
        write(block, order[read_back(block)])
    return found


def split(mask: np.ndarray, around: Sequence[tuple[int, int]] | int = 0) -> np.ndarray:
    """Separate the objects of one connected part, by a watershed on the distance to its border.

    Parameters
    ----------
    mask : ndarray
        Boolean, 2-D or 3-D; the box around the part.
    around : int or sequence of (int, int)
        How much background there is before and behind, along each axis. Where the image ends
        there is none: an object that is cut off there goes on.

    Returns
    -------
    ndarray
        int64, objects from 1.
    """
    from skimage.morphology import reconstruction
    from skimage.segmentation import watershed

    outer = np.pad(mask, around)
    if outer.all():
        return mask.astype(np.int64)
    smooth = ndi.gaussian_filter(ndi.distance_transform_edt(outer), 1)
    distance = np.where(outer, smooth * SIXTEENTHS, 0).astype(np.int32)
    # Every bump that rises by SPLIT_DEPTH seeds an object. Bumps of equal height on one ridge
    # are one dome here, where a search for maxima would find several.
    height = distance - reconstruction(distance - SPLIT_DEPTH, distance).astype(np.int32)
    domes, count = ndi.label(height > 0, np.ones((3,) * mask.ndim))
    tops = ndi.maximum(height, domes, np.arange(count + 1))
    peaks = np.where(np.asarray(tops)[domes] >= SPLIT_DEPTH, domes, 0) * outer
    if np.count_nonzero(np.bincount(peaks.ravel())[1:]) < 2:  # nothing to separate
        return mask.astype(np.int64)
    found = watershed(-distance, peaks, mask=outer)[outer]
    objects = np.zeros(mask.shape, np.int64)
    objects[mask] = np.unique(found, return_inverse=True)[1] + 1
    return objects
