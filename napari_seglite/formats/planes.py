"""The planes of labels, for formats that hold one plane after the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..images import ImageAxes


def planes(labels: np.ndarray, axes: str) -> Iterator[tuple[dict[str, int], np.ndarray]]:
    """Yield the planes of labels, the time points one after the other.

    Parameters
    ----------
    labels : ndarray
        Integer or boolean.
    axes : str
        Letters of the axes, in any order.

    Yields
    ------
    tuple of dict and ndarray
        The position along T and Z, from 0, as far as there are such axes, and the plane ``(H, W)``.

    Raises
    ------
    ImageError
        If labels cannot have these axes, or are empty.
    """
    ImageAxes(axes).check(labels.shape)
    order = "".join(letter for letter in "TZYX" if letter in axes)
    ordered = labels.transpose([axes.index(letter) for letter in order])
    for place in np.ndindex(ordered.shape[:-2]):
        yield dict(zip(order[:-2], place, strict=True)), ordered[place]
