"""Connected components of a mask, and the objects in them, block by block.

A mask of any size is read in blocks; components that cross the border of a block are joined. The
result does not depend on the blocks: every component is split on its own, and objects are numbered
in the order of their first pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from ..images import Block, blocks
from .least_probability import LeastProbability, Read
from .output import Output

# Maxima of the smoothed distance to the background that rise less than this above a saddle do not
# split an object in two; in sixteenths of a pixel.
SPLIT_DEPTH = 8
THREADS = min(4, os.cpu_count() or 1)

Write = Callable[[Block, np.ndarray], None]
_Split = Callable[..., tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Levels:
    """A map whose maxima are objects, such as a network's object head gives.

    Attributes
    ----------
    read : callable
        Returns a block of it, integer of at least 0.
    depth : int
        Least height of an object's maximum above its saddles to others.
    """

    read: Read
    depth: int


@dataclass(frozen=True)
class Components:
    """The connected components of a mask.

    Every block is labelled on its own, from 1; these *local* labels belong to components of the
    whole mask, which are numbered from 0.

    Attributes
    ----------
    read : callable
        Returns a block of the mask, boolean.
    shape : tuple of int
        Shape of the mask.
    blocks : tuple of Block
        Blocks in which the mask was read.
    offsets : tuple of int
        For every block, the number of local labels in the blocks before it.
    component_of : ndarray
        Component of every local label, by offset and local label.
    sizes, first_pixel : ndarray
        Pixels of every component, and the index of its first pixel in raster order.
    begin, end : ndarray
        ``(components, axes)``, the box around every component.
    only_block : ndarray or None
        Local labels of the block, if there is only one.
    """

    read: Read
    shape: tuple[int, ...]
    blocks: tuple[Block, ...]
    offsets: tuple[int, ...]
    component_of: np.ndarray
    sizes: np.ndarray
    first_pixel: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    only_block: np.ndarray | None = None

    def by_block(self) -> Iterator[tuple[Block, np.ndarray, np.ndarray]]:
        """Go through the blocks.

        Yields
        ------
        tuple of slice
            The block.
        ndarray
            Its local labels; 0 is background.
        ndarray
            The component of every local label, from 1 on.
        """
        ends = (*self.offsets[1:], len(self.component_of))
        for block, offset, end in zip(self.blocks, self.offsets, ends, strict=True):
            local = self.only_block
            if local is None:
                local = ndi.label(self.read(block))[0]
            yield block, local, self.component_of[offset:end]


# ---------------------------------------------------------------------- find
def find_components(read: Read, shape: tuple[int, ...]) -> Components:
    """Find the components of a mask, whose pixels touch along an edge.

    Parameters
    ----------
    read : callable
        Returns a block of the mask, boolean.
    shape : tuple of int
        Shape of the mask, ``(H, W)`` or ``(Z, H, W)``.
    """
    all_blocks = tuple(blocks(shape))
    offsets, measured, pairs = [], [], [np.zeros((0, 2), np.int64)]
    faces: dict[tuple[int, ...], np.ndarray] = {}  # of blocks, until their neighbour is read
    total = 0
    for block in all_blocks:
        local, count = ndi.label(read(block))
        corner = np.array([edge.start for edge in block])
        offsets.append(total)
        measured.append(_measured(local, count, corner, shape))
        for axis in range(len(shape)):
            before = faces.pop((axis, *corner), None)
            if before is not None:
                pairs.append(_touching(before, _face(local, 0, axis, total)))
            behind = corner.copy()
            behind[axis] = block[axis].stop
            if behind[axis] < shape[axis]:
                faces[(axis, *behind)] = _face(local, -1, axis, total)
        total += count
    component_of = _joined(np.concatenate(pairs) - 1, total)
    sizes, first_pixel, begin, end = (
        np.concatenate(column) for column in zip(*measured, strict=True)
    )
    return Components(
        read=read,
        shape=shape,
        blocks=all_blocks,
        offsets=tuple(offsets),
        component_of=component_of,
        sizes=_gathered(np.add, sizes, component_of),
        first_pixel=_gathered(np.minimum, first_pixel, component_of),
        begin=_gathered(np.minimum, begin, component_of),
        end=_gathered(np.maximum, end, component_of),
        only_block=local if len(all_blocks) == 1 else None,
    )


def _measured(
    local: np.ndarray, count: int, corner: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return sizes, first pixels, and begin and end of the boxes of a block's local labels."""
    from .watershed import as_volume, measure

    axes = len(shape)
    sizes, first_pixel, begin, end = measure(as_volume(local), count)
    first_pixel = _index_in_whole(first_pixel, local.shape, corner, shape)
    return sizes, first_pixel, begin[:, -axes:] + corner, end[:, -axes:] + corner


def measured_labels(
    labels: np.ndarray, count: int, corner: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sizes of labels from 1 to `count` in a block, and their first pixels.

    Parameters
    ----------
    labels : ndarray
        ``(D, H, W)`` integer.
    count : int
        The highest label.
    corner : ndarray
        Of the block in the whole.
    shape : tuple of int
        Of the whole.

    Returns
    -------
    sizes, first_pixels : ndarray
        int64; first pixels as indices of the whole in raster order.
    """
    sizes, first_pixels, _, _ = _measured(labels, count, corner, shape)
    return sizes, first_pixels


def _index_in_whole(
    pixels: np.ndarray, block: tuple[int, ...], corner: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Return the raster indices in the whole of pixels that are indexed in a block."""
    places = np.array(np.unravel_index(pixels, block)).T + corner
    return np.asarray(np.ravel_multi_index(tuple(places.T), shape), np.int64)


def _gathered(combine: np.ufunc, values: np.ndarray, component_of: np.ndarray) -> np.ndarray:
    """Combine the values of all local labels of a component; components have no gaps."""
    if not len(component_of):
        return values
    order = np.argsort(component_of, kind="stable")
    starts = np.flatnonzero(np.diff(component_of[order], prepend=-1))
    return np.asarray(combine.reduceat(values[order], starts, axis=0))


def _face(local: np.ndarray, place: int, axis: int, offset: int) -> np.ndarray:
    """Return the labels on a face of a block, numbered on through all blocks."""
    face = local.take(place, axis).astype(np.int64)
    return np.where(face > 0, face + offset, 0)


def _touching(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the pairs of labels that touch across two faces, ``(pairs, 2)``."""
    both = (a > 0) & (b > 0)
    return np.unique(np.stack([a[both], b[both]], 1), axis=0)


def _joined(pairs: np.ndarray, count: int) -> np.ndarray:
    """Return the component of each of `count` labels, given the pairs that touch."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if count == 0:
        return np.zeros(0, np.int64)
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


# ---------------------------------------------------------------------- split
def labelling_text(output: Output, head: str = "") -> str:
    """Return the status text of labelling; the first objects ever need compilation.

    Parameters
    ----------
    output : str
        Kind of labels.
    head : str
        Object head that separates the objects; empty if the shape of the mask does.
    """
    from .watershed import needs_compiling

    if output == "instances" and needs_compiling(levels=bool(head)):
        return "Compiling the separation of objects for this computer, once, about 10 s …"
    return "Labelling …"


def split_components(
    components: Components,
    min_size: int,
    write: Write,
    read_back: Read,
    top: int = 0,
    levels: Levels | None = None,
    step: float = 1.0,
    least_probability: LeastProbability | None = None,
) -> list[int]:
    """Separate touching objects, and write their ids.

    Parameters
    ----------
    components : Components
        Components of a mask.
    min_size : int
        Smaller objects are left out; pixels.
    write, read_back : callable
        Write a block of ids and read it again; 0 where nothing was written.
    top : int
        Ids are consecutive from ``top + 1``, in the order of the objects' first pixels.
    levels : Levels, optional
        On whose maxima objects are separated; the distance to the background if not given.
    step : float
        Distance between two slices of a volume, in pixels of a slice.
    least_probability : LeastProbability, optional
        What objects must reach; others are left out.

    Returns
    -------
    list of int
        Pixels of every object, in no particular order.
    """
    splitter = _Splitter(components.shape, levels, step)
    large = components.sizes >= max(min_size, 1)
    crossing = _split_in_blocks(components, large, splitter, write)
    for number in np.flatnonzero(crossing & large):
        _split_across_blocks(components, int(number), splitter, write, read_back)
    sizes = splitter.sizes()
    kept = sizes >= max(min_size, 1)
    if least_probability is not None:
        kept &= least_probability.reached(components.blocks, read_back, sizes)
    ids = _final_ids(splitter.first_pixels(), kept, top)
    for block in components.blocks:
        write(block, ids[read_back(block)])
    return [int(size) for size in sizes[kept]]


def _split_in_blocks(
    components: Components, large: np.ndarray, splitter: _Splitter, write: Write
) -> np.ndarray:
    """Split the large components inside of blocks; return a mask of those that cross a border."""
    crossing = np.zeros(len(components.sizes), bool)
    for block, local, component_of in components.by_block():
        corner = np.array([edge.start for edge in block])
        stop = np.array([edge.stop for edge in block])
        begin, end = components.begin[component_of], components.end[component_of]
        inside = (begin >= corner).all(1) & (end <= stop).all(1)
        crossing[component_of[~inside]] = True
        chosen = np.flatnonzero(inside & large[component_of])
        write(block, splitter.split(local, chosen + 1, begin[chosen], end[chosen], block))
    return crossing


def _split_across_blocks(
    components: Components, number: int, splitter: _Splitter, write: Write, read_back: Read
) -> None:
    """Split a component that crosses the border of a block, in the box around it."""
    begin, end = components.begin[number], components.end[number]
    box = tuple(slice(int(a), int(b)) for a, b in zip(begin, end, strict=True))
    local, _ = ndi.label(components.read(box))
    first_pixel = np.unravel_index(components.first_pixel[number], components.shape)
    own = local[tuple(np.array(first_pixel) - begin)]
    ids = splitter.split(local, np.array([own]), begin[None], end[None], box)
    write(box, np.where(local == own, ids, read_back(box)))


def _final_ids(first_pixels: np.ndarray, kept: np.ndarray, top: int) -> np.ndarray:
    """Return the final id of every provisional one: 0 for objects that are left out."""
    ids = np.zeros(len(first_pixels) + 1, np.uint32)
    order = np.argsort(first_pixels[kept], kind="stable")
    ids[np.flatnonzero(kept)[order] + 1] = np.arange(1, len(order) + 1) + top
    return ids


class _Splitter:
    """Splits components into objects with provisional ids, and records the objects.

    Parameters
    ----------
    shape : tuple of int
        Shape of the whole mask.
    levels : Levels, optional
        See `split_components`.
    step : float
        Distance between two slices of a volume, in pixels of a slice.
    """

    def __init__(
        self, shape: tuple[int, ...], levels: Levels | None = None, step: float = 1.0
    ) -> None:
        self.shape, self.levels, self.step = shape, levels, float(step)
        self.count = 0
        self._first_pixels = [np.zeros(0, np.int64)]
        self._sizes = [np.zeros(0, np.int64)]

    def first_pixels(self) -> np.ndarray:
        """Return the first pixel of every object, in the order of the provisional ids."""
        return np.concatenate(self._first_pixels)

    def sizes(self) -> np.ndarray:
        """Return the pixels of every object, in the order of the provisional ids."""
        return np.concatenate(self._sizes)

    def split(
        self,
        local: np.ndarray,
        numbers: np.ndarray,
        begin: np.ndarray,
        end: np.ndarray,
        block: Block,
    ) -> np.ndarray:
        """Split components of a block.

        Parameters
        ----------
        local : ndarray
            Local labels of the block.
        numbers : ndarray
            ``(n,)``, the local labels of the components to split.
        begin, end : ndarray
            ``(n, axes)``, the boxes around them in the whole mask.
        block : tuple of slice
            Where it lies in the whole mask.

        Returns
        -------
        ndarray
            uint32, the block's provisional ids; 0 elsewhere.
        """
        from .watershed import as_volume, raise_each

        corner = np.array([edge.start for edge in block])
        # A plane is a volume whose first axis has a length of 1.
        padding = ((0, 0), (3 - len(self.shape), 0))
        low, high = np.pad(begin - corner, padding), np.pad(end - corner, padding)
        high[:, : padding[1][0]] = 1
        ids = np.zeros(local.shape, np.uint32)
        labels, written = as_volume(local), as_volume(ids)
        split = self._function(begin, end, block)
        # Thread k takes every THREADS-th component and numbers its objects from 1.
        shares = [slice(k, None, THREADS) for k in range(THREADS)]

        def split_share(share: slice) -> tuple[np.ndarray, np.ndarray]:
            return split(labels, numbers[share], low[share], high[share], share, written)

        with ThreadPoolExecutor(THREADS) as pool:
            for share, (sizes, first) in zip(shares, pool.map(split_share, shares), strict=True):
                raise_each(labels, numbers[share], low[share], high[share], written, self.count)
                self._first_pixels.append(_index_in_whole(first, local.shape, corner, self.shape))
                self._sizes.append(sizes)
                self.count += len(sizes)
        return ids

    def _function(self, begin: np.ndarray, end: np.ndarray, block: Block) -> _Split:
        """Return the function that splits a share of the components of a block."""
        from .watershed import REACH, as_volume, split_each, split_on_levels

        if self.levels is not None and len(begin):
            levels, depth = as_volume(self.levels.read(block)), self.levels.depth

            def by_levels(labels, numbers, low, high, share, ids):  # type: ignore[no-untyped-def]
                return split_on_levels(labels, numbers, low, high, levels, depth, ids)

            return by_levels
        padding = ((0, 0), (3 - len(self.shape), 0))
        before = np.pad(REACH * (begin > 0), padding)
        behind = np.pad(REACH * (end < self.shape), padding)

        def by_distance(labels, numbers, low, high, share, ids):  # type: ignore[no-untyped-def]
            margins = before[share], behind[share]
            return split_each(labels, numbers, low, high, *margins, SPLIT_DEPTH, ids, self.step)

        return by_distance
