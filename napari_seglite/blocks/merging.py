"""Objects across blocks: which agree in the overlaps, and the ids that they get.

Every pixel near a border is segmented by both blocks. Two objects are one if each is the other's
largest overlap there and they share at least half of the smaller one. Objects that merely touch
share no pixels, so that dense ones stay apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..labels import number_pairs

# Share of the smaller object, within the overlap, that two parts of an object have in common.
LEAST_SHARE = 0.5


def agreeing(first: np.ndarray, second: np.ndarray, masks: bool) -> np.ndarray:
    """Return the pairs of objects of two blocks that are one object.

    Parameters
    ----------
    first, second : ndarray
        Labels of both blocks of the pixels that both segment, of one shape; 0 is background.
    masks : bool
        Whether labels are connected parts of a mask: any pixel that two of them share makes them
        one.

    Returns
    -------
    ndarray
        ``(pairs, 2)`` int64.
    """
    one, other, shared = number_pairs(first.ravel(), second.ravel())
    both = (one > 0) & (other > 0)
    a, b, pixels = one[both], other[both], shared[both]
    if not len(a):
        return np.zeros((0, 2), np.int64)
    if not masks:
        areas = [
            np.bincount(numbers.astype(np.int64), shared, int(numbers.max()) + 1)
            for numbers in (one, other)
        ]
        smaller = np.minimum(areas[0][a], areas[1][b])
        good = _largest(a, pixels) & _largest(b, pixels) & (pixels >= LEAST_SHARE * smaller)
        a, b = a[good], b[good]
    return np.stack([a, b], 1).astype(np.int64)


def _largest(numbers: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return which pairs are the first of those with the most pixels for their number."""
    order = np.lexsort((np.arange(len(numbers)), -pixels, numbers))
    firsts = order[np.flatnonzero(np.diff(numbers[order].astype(np.int64), prepend=-1))]
    found = np.zeros(len(numbers), bool)
    found[firsts] = True
    return found


@dataclass(frozen=True)
class Numbered:
    """The ids of objects.

    Attributes
    ----------
    ids : ndarray
        ``(n,)`` int64, for every object of every block; 0 for those that are left out.
    objects, pixels : int
        How many objects there are, and how many pixels they have.
    """

    ids: np.ndarray
    objects: int
    pixels: int


def numbered(
    sizes: np.ndarray,
    first: np.ndarray,
    sums: np.ndarray,
    pairs: np.ndarray,
    min_size: int,
    least_probability: float,
) -> Numbered:
    """Return the ids of the objects of all blocks, in the order of their first pixels.

    Parameters
    ----------
    sizes, first, sums : ndarray
        Of all blocks one after the other, see `BlockTable`.
    pairs : ndarray
        ``(pairs, 2)`` positions, from 0, of the parts that are one object.
    min_size : int
        Objects of fewer pixels are left out.
    least_probability : float
        Objects whose pixels have a lower mean probability are left out; 0 for none.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(sizes)
    if not count:
        return Numbered(np.zeros(0, np.int64), 0, 0)
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    total, of = connected_components(links, directed=False)
    pixels = np.bincount(of, sizes, total).astype(np.int64)
    kept = pixels >= max(min_size, 1)
    if least_probability:
        kept &= np.bincount(of, sums, total) >= least_probability * pixels
    begin = np.full(total, np.iinfo(np.int64).max)
    there = sizes > 0
    np.minimum.at(begin, of[there], first[there])
    ids = np.zeros(total, np.int64)
    chosen = np.flatnonzero(kept)
    ids[chosen[np.argsort(begin[chosen], kind="stable")]] = np.arange(1, len(chosen) + 1)
    return Numbered(ids[of], len(chosen), int(pixels[kept].sum()))


def offsets(counts: np.ndarray) -> np.ndarray:
    """Return where the objects of every block begin among all, and where the last end."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def split(values: np.ndarray, begins: np.ndarray) -> list[np.ndarray]:
    """Cut values of all blocks at their `offsets`."""
    return [values[a:b] for a, b in pairwise(begins)]
