"""Leave out objects that a network is not sure of, by the mean probability of their pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..images import Block

Read = Callable[[Block], np.ndarray]


@dataclass(frozen=True)
class LeastProbability:
    """What the mean probability of an object's pixels must reach.

    Attributes
    ----------
    read : callable
        Returns a block of the probability of not being background, 0 to 1.
    least : float
        Objects with a lower mean are left out, 0 to 1.
    """

    read: Read
    least: float

    def reached(self, blocks: Sequence[Block], ids: Read, sizes: np.ndarray) -> np.ndarray:
        """Return which objects reach it, boolean.

        Parameters
        ----------
        blocks : sequence of Block
            In which the ids are read.
        ids : callable
            Returns a block of ids from 1 on; 0 is background.
        sizes : ndarray
            ``(objects,)``, the pixels of each object.
        """
        sums = np.zeros(len(sizes) + 1)
        for block in blocks:
            found = np.bincount(ids(block).ravel(), self.read(block).ravel())
            sums[: len(found)] += found
        return np.asarray(sums[1:] >= self.least * sizes)
