"""The array types that functions accept, whichever library they come from."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class ArrayLike(Protocol):
    """An array that can be read: NumPy, Zarr, dask or the like."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of entries along each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an entry."""

    def __getitem__(self, where: Any, /) -> Any: ...


class WritableArray(ArrayLike, Protocol):
    """An array that can also be written, such as NumPy or Zarr."""

    def __setitem__(self, where: Any, values: Any, /) -> None: ...
