"""What becomes of images in which the network sees no object at all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

import numpy as np

from ..images import Box, blocks
from .mosaic import Patch
from .slabs import Slab

# Probability of presence from which a class counts as seen in a tile.
PRESENT = 0.5
# Empty slices that a sentence lists.
LISTED = 8


def decided_together(
    slabs: Sequence[Slab], volumes: Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    """Return for every slab the numbers of the slabs of its volume.

    Parameters
    ----------
    slabs : sequence of Slab
        Of a network that sees volumes.
    volumes : sequence of sequence of int
        The frames of each volume.
    """
    volume_of = {frame: number for number, frames in enumerate(volumes) for frame in frames}
    own = [volume_of[slab.read[0]] for slab in slabs]
    return [tuple(n for n, volume in enumerate(own) if volume == mine) for mine in own]


def absent_classes(
    tiles: Iterable[np.ndarray], presence: Callable[[np.ndarray], np.ndarray], classes: int
) -> Generator[None, None, tuple[int, ...]]:
    """Look at the tiles of an image, one by one, until every foreground class was seen.

    Parameters
    ----------
    tiles : iterable of ndarray
        The network's inputs.
    presence : callable
        Returns the probability that each foreground class is in a tile, ``(F,)``.
    classes : int
        Output channels of the network.

    Yields
    ------
    None
        After every tile.

    Returns
    -------
    tuple of int
        Channels of the classes that are in none of the tiles.
    """
    seen = np.zeros(max(classes - 1, 1), bool)
    for tile in tiles:
        seen |= presence(tile) >= PRESENT
        if seen.all():
            break
        yield
    first = 0 if classes == 1 else 1
    return tuple(int(k) + first for k in np.flatnonzero(~seen))


def is_empty(absent: Sequence[int], classes: int) -> bool:
    """Whether these absent classes are all foreground classes."""
    return len(absent) == max(classes - 1, 1)


def background(shape: tuple[int, int], planes: int, classes: int) -> Iterator[Patch]:
    """Yield a frame without foreground, block by block.

    Parameters
    ----------
    shape : tuple of int
        Height and width.
    planes : int
        Those of classes, an object head and disagreement.
    classes : int
        How many of them are of classes.
    """
    for rows, columns in blocks(shape):
        box = Box(rows.start, columns.start, rows.stop, columns.stop)
        values = np.zeros((planes, *box.shape), np.float32)
        values[0] = classes > 1  # with one class, the first plane is the foreground
        yield Patch(box, values)


def without(values: np.ndarray, absent: Sequence[int]) -> np.ndarray:
    """Return planes whose absent classes are given to the background.

    Parameters
    ----------
    values : ndarray
        ``(K, ...)``, background first.
    absent : sequence of int
        Indices of the classes.
    """
    if not absent:
        return values
    values = values.copy()
    values[0] += values[list(absent)].sum(0)
    values[list(absent)] = 0
    return values


def empty_notice(empty: Sequence[int], count: int) -> list[str]:
    """Return a sentence about frames that stay empty, or nothing.

    Parameters
    ----------
    empty : sequence of int
        Their numbers.
    count : int
        Number of segmented frames.
    """
    if not empty:
        return []
    if count == 1:
        return ["The network sees no object at all, so nothing is labelled."]
    listed = ", ".join(map(str, empty[:LISTED])) + (" …" if len(empty) > LISTED else "")
    return [f"In {len(empty)} of {count} slices the network sees no object at all: {listed}."]
