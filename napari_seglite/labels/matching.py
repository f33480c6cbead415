"""Objects of two label images that share pixels, and the best one-to-one matching of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Pixels that are compared at once, so that large images need little memory beside their own.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class SharedPixels:
    """Which objects of a reference and a prediction share pixels, and how many.

    Only pairs that share any are held, so that memory grows with the number of objects and not with
    its square.

    Attributes
    ----------
    areas, predicted_areas : ndarray
        ``(R,)`` and ``(P,)`` int64: pixels of every object, in the order of their numbers.
    rows, columns, shared : ndarray
        ``(N,)`` int64: for every pair, the positions of its objects in `areas` and
        `predicted_areas` and the number of their common pixels; sorted by row and column.
    """

    areas: np.ndarray
    predicted_areas: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    shared: np.ndarray

    @classmethod
    def count(cls, predicted: np.ndarray, reference: np.ndarray) -> SharedPixels:
        """Count the common pixels of objects in two integer arrays of one shape; 0 is background.

        Parameters
        ----------
        predicted, reference : ndarray
            Integer, without negative numbers.
        """
        from scipy.sparse import coo_array

        numbers, found, pixels = number_pairs(reference.ravel(), predicted.ravel())
        rows, columns = (_positions(values) for values in (numbers, found))
        table = coo_array((pixels, (rows, columns)), dtype=np.int64).tocsr()
        areas, predicted_areas = (np.asarray(table.sum(axis))[1:] for axis in (1, 0))
        shared = table[1:, 1:].tocoo()
        rows, columns = (place.astype(np.int64) for place in (shared.row, shared.col))
        return cls(areas, predicted_areas, rows, columns, shared.data)

    @property
    def union(self) -> np.ndarray:
        """Pixels of either object, per pair."""
        either = self.areas[self.rows] + self.predicted_areas[self.columns]
        return np.asarray(either - self.shared)

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union, per pair, 0 to 1."""
        return np.asarray(self.shared / self.union)

    def matches(self, threshold: float) -> int:
        """Return the largest number of one-to-one pairs whose IoU is at least a threshold."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import maximum_bipartite_matching

        shape = (self.areas.size, self.predicted_areas.size)
        if threshold <= 0:  # then objects that share nothing match as well
            return min(shape)
        good = self.iou >= threshold
        if not good.any():
            return 0
        where = self.rows[good], self.columns[good]
        graph = coo_array((np.ones(where[0].size, np.int8), where), shape=shape).tocsr()
        return int(np.count_nonzero(maximum_bipartite_matching(graph, "column") >= 0))

    def best(self) -> np.ndarray:
        """Return the pair of the largest IoU for every object of the reference that is in any."""
        order = np.lexsort((self.columns, -self.iou, self.rows))
        first = np.diff(self.rows[order], prepend=-1) > 0
        return np.asarray(order[first])


def number_pairs(
    reference: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of numbers that lie on each other, and their pixels.

    The first pair is of background, which may have no pixel.
    """
    nothing = np.zeros(1, reference.dtype), np.zeros(1, predicted.dtype), np.zeros(1, np.int64)
    blocks = [nothing]
    for start in range(0, reference.size, _BLOCK):
        a, b = (flat[start : start + _BLOCK] for flat in (reference, predicted))
        # Neighbours that are equal on both sides count as one: far fewer than pixels.
        begins = np.flatnonzero(np.r_[True, (a[1:] != a[:-1]) | (b[1:] != b[:-1])])
        blocks.append(summed(a[begins], b[begins], np.diff(begins, append=a.size)))
    numbers, found, pixels = zip(*blocks, strict=True)
    return summed(*(np.concatenate(parts) for parts in (numbers, found, pixels)))


def summed(
    numbers: np.ndarray, found: np.ndarray, pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every pair of numbers once, sorted, with the sum of its pixels."""
    order = np.lexsort((found, numbers))
    numbers, found = numbers[order], found[order]
    different = (numbers[1:] != numbers[:-1]) | (found[1:] != found[:-1])
    begins = np.flatnonzero(np.r_[True, different])
    return numbers[begins], found[begins], np.add.reduceat(pixels[order], begins)


def _positions(values: np.ndarray) -> np.ndarray:
    """Return the position of every value among the sorted values; 0 is the first of them."""
    return np.asarray(np.unique(values, return_inverse=True)[1])
