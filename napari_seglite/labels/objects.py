"""Connected parts of a mask, and the objects in them, found block by block.

A mask of any size is read in blocks; parts that reach over a border are put together. What comes
out does not depend on the blocks: every part is split by itself, and objects are numbered in the
order of their first pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from ..images import Block, blocks

# Bumps of the smoothed distance to the background lower than this do not split an object
# in two; in sixteenths of a pixel.
SPLIT_DEPTH = 8
THREADS = min(4, os.cpu_count() or 1)

Read = Callable[[Block], np.ndarray]
Write = Callable[[Block, np.ndarray], None]


@dataclass(frozen=True)
class Components:
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
    only : ndarray or None
        The local parts, if there is but one block.
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
    only: np.ndarray | None = None

    def each(self) -> Iterator[tuple[Block, np.ndarray, np.ndarray]]:
        """Yield every block, its local parts (0 is background), and the parts they belong to."""
        ends = (*self.offsets[1:], len(self.of))
        for block, offset, end in zip(self.blocks, self.offsets, ends, strict=True):
            local = ndi.label(self.read(block))[0] if self.only is None else self.only
            yield block, local, self.of[offset:end]


def find_components(read: Read, shape: tuple[int, ...]) -> Components:
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
    return Components(
        read=read,
        shape=shape,
        blocks=grid,
        offsets=tuple(offsets),
        of=of,
        sizes=_gathered(np.add, sizes, of),
        first=_gathered(np.minimum, first, of),
        begin=_gathered(np.minimum, begin, of),
        end=_gathered(np.maximum, end, of),
        only=local if len(grid) == 1 else None,
    )


def _measured(
    local: np.ndarray, count: int, corner: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return sizes, first pixels, and where boxes begin and end, of the labels in a block."""
    from .watershed import as_volume, measure

    axes = len(shape)
    sizes, first, begin, end = measure(as_volume(local), count)
    first = _moved(first, local.shape, corner, shape)
    return sizes, first, begin[:, -axes:] + corner, end[:, -axes:] + corner


def _moved(
    first: np.ndarray, block: tuple[int, ...], corner: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Return pixels counted in a block as they are counted in the whole."""
    places = np.array(np.unravel_index(first, block)).T + corner
    return np.asarray(np.ravel_multi_index(tuple(places.T), shape), np.int64)


def _gathered(how: np.ufunc, values: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Combine the values of all that belongs together; `of` counts from 0 without gaps."""
    if not len(of):
        return values
    order = np.argsort(of, kind="stable")
    starts = np.flatnonzero(np.diff(of[order], prepend=-1))
    return np.asarray(how.reduceat(values[order], starts, axis=0))


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


def labelling_text(output: str) -> str:
    """Say what happens before objects are there; the first ones ever take longer."""
    from .watershed import needs_compiling

    if output == "instances" and needs_compiling():
        return "Compiling what separates objects for this computer, once, about 10 s …"
    return "Labelling …"


def split_components(
    parts: Components, min_size: int, write: Write, read_back: Read, top: int = 0
) -> list[int]:
    """Separate the objects that touch, and write them, numbered above `top`.

    Parameters
    ----------
    parts : Components
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
    objects = _Objects(parts.shape)
    crossing = np.zeros(len(parts.sizes), bool)
    for block, local, of in parts.each():
        corner = np.array([edge.start for edge in block])
        stop = np.array([edge.stop for edge in block])
        begin, end = parts.begin[of], parts.end[of]
        here = (begin >= corner).all(1) & (end <= stop).all(1)
        crossing[of[~here]] = True
        chosen = np.flatnonzero(here & large[of])
        ids = objects.split(local, chosen + 1, begin[chosen], end[chosen], corner)
        write(block, ids)
    for number in np.flatnonzero(crossing & large):
        begin, end = parts.begin[number], parts.end[number]
        box = tuple(slice(int(a), int(b)) for a, b in zip(begin, end, strict=True))
        local, _ = ndi.label(parts.read(box))
        place = np.array(np.unravel_index(parts.first[number], parts.shape)) - begin
        own = local[tuple(place)]
        ids = objects.split(local, np.array([own]), begin[None], end[None], begin)
        write(box, np.where(local == own, ids, read_back(box)))
    first, sizes = (np.concatenate([np.zeros(0, np.int64), *part]) for part in objects.found())
    kept = sizes >= max(min_size, 1)
    order = np.zeros(len(first) + 1, np.uint32)
    rank = np.argsort(first[kept], kind="stable")
    order[np.flatnonzero(kept)[rank] + 1] = np.arange(1, len(rank) + 1) + top
    for block in parts.blocks:
        write(block, order[read_back(block)])
    return [int(size) for size in sizes[kept]]


class _Objects:
    """What was split so far, with provisional ids.

    Parameters
    ----------
    shape : tuple of int
        Of the whole.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.count = 0
        self._first: list[np.ndarray] = []
        self._sizes: list[np.ndarray] = []

    def found(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the first pixels and the sizes of all objects, in the order of their ids."""
        return self._first, self._sizes

    def split(
        self,
        local: np.ndarray,
        numbers: np.ndarray,
        begin: np.ndarray,
        end: np.ndarray,
        corner: np.ndarray,
    ) -> np.ndarray:
        """Split parts of a block, which begins at `corner`; returns its ids, 0 elsewhere."""
        from .watershed import REACH, as_volume, raise_each, split_each

        # Of planes, the first of three axes has a length of 1.
        flat = ((0, 0), (3 - len(self.shape), 0))
        before = np.pad(REACH * (begin > 0), flat)
        behind = np.pad(REACH * (end < self.shape), flat)
        begin, end = np.pad(begin - corner, flat), np.pad(end - corner, flat)
        end[:, : flat[1][0]] = 1
        ids = np.zeros(local.shape, np.uint32)
        seen, written = as_volume(local), as_volume(ids)
        # Every thread takes each so-manieth part, and numbers its objects from 1.
        shares = [slice(k, None, THREADS) for k in range(THREADS)]

        def work(share: slice) -> tuple[np.ndarray, np.ndarray]:
            boxes = (begin[share], end[share], before[share], behind[share])
            found: tuple[np.ndarray, np.ndarray] = split_each(
                seen, numbers[share], *boxes, SPLIT_DEPTH, written
            )
            return found

        with ThreadPoolExecutor(THREADS) as pool:
            for share, (sizes, first) in zip(shares, pool.map(work, shares), strict=True):
                raise_each(seen, numbers[share], begin[share], end[share], written, self.count)
                self._first.append(_moved(first, local.shape, corner, self.shape))
                self._sizes.append(sizes)
                self.count += len(sizes)
        return ids
