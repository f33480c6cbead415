"""An image that lies on another computer, read piece by piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from threading import Condition
from typing import Any

import numpy as np

from ..errors import Cancelled
from ..runtime import Stop

# Bytes that are sent at once.
PIECE = 8_000_000

Index = tuple[int | slice, ...]


class AskedPixels:
    """An array that asks for the parts that are read, and waits for them.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    dtype : dtype
        Of the image.
    ask : callable
        Called with a number and an index; `supply` is called with the answer, in another thread.
    stop : callable
        Ends waiting once it returns True.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        ask: Callable[[int, Index], None],
        stop: Stop,
    ) -> None:
        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)
        self._ask, self._stop, self._asked = ask, stop, 0
        self._supplied: dict[int, np.ndarray] = {}
        self._changed = Condition()

    def __getitem__(self, index: Index) -> np.ndarray:
        """Return a part of the image.

        Raises
        ------
        Cancelled
            If `stop` returned True.
        """
        index = tuple(
            k if isinstance(k, int) else slice(*k.indices(n))
            for k, n in zip(index, self.shape, strict=True)
        )
        sizes = [k.stop - k.start for k in index if isinstance(k, slice)]
        found = np.empty(sizes, self.dtype)
        asked = {}
        for place, part in pieces(index, self.dtype.itemsize):
            asked[self._asked] = place
            self._ask(self._asked, part)
            self._asked += 1
        for number, place in asked.items():
            found[place] = self._wait_for(number)
        return found

    def _wait_for(self, number: int) -> np.ndarray:
        with self._changed:
            while number not in self._supplied:
                if self._stop():
                    raise Cancelled
                self._changed.wait(0.1)
            return self._supplied.pop(number)

    def supply(self, number: int, pixels: np.ndarray) -> None:
        """Answer the question with a number."""
        with self._changed:
            self._supplied[number] = pixels
            self._changed.notify_all()


def pieces(index: Index, itemsize: int) -> Iterator[tuple[Index, Index]]:
    """Cut a part of an array into pieces of about `PIECE` bytes, along its longest axis.

    Yields
    ------
    tuple
        Where a piece is in the part.
    tuple
        Where it is in the array.
    """
    cuts = [k for k, each in enumerate(index) if isinstance(each, slice)]
    ranges = {k: range(*_bounds(index[k])) for k in cuts}
    size = math.prod(map(len, ranges.values())) * itemsize
    axis = max(cuts, key=lambda k: len(ranges[k]))
    whole = ranges[axis]
    step = max(1, len(whole) * PIECE // max(1, size))
    for first in range(0, max(1, len(whole)), step):
        length = min(step, len(whole) - first)
        place = tuple(
            slice(first, first + length) if k == axis else slice(0, len(ranges[k])) for k in cuts
        )
        start = whole.start + first
        yield place, (*index[:axis], slice(start, start + length), *index[axis + 1 :])


def _bounds(part: int | slice) -> tuple[int, int]:
    assert isinstance(part, slice)
    return part.start, part.stop
