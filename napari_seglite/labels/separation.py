"""Compile what separates objects, before it is needed."""

from __future__ import annotations

import numpy as np

from ..images import Block
from ..runtime import Kernels
from .objects import Levels, find_components, split_components

_SIDE = 32


def separation_kernels(levels: bool) -> Kernels:
    """Return the kernels that separate objects.

    Parameters
    ----------
    levels : bool
        Whether by an object head, instead of the shape of the mask.
    """
    from .watershed import needs_compiling

    code = f"from napari_seglite.labels.separation import warm_up; warm_up({levels})"
    return Kernels(code, lambda: needs_compiling(levels))


def warm_up(levels: bool) -> None:
    """Separate the objects of a small mask, which compiles all that it takes.

    Parameters
    ----------
    levels : bool
        See `separation_kernels`.
    """
    mask = np.zeros((_SIDE, _SIDE), bool)
    mask[4:12, 4:28] = mask[8:28, 8:20] = True
    ids = np.zeros(mask.shape, np.uint32)
    given = Levels(lambda block: mask[block].astype(np.int32), 1) if levels else None

    def write(block: Block, values: np.ndarray) -> None:
        ids[block] = values

    components = find_components(lambda block: mask[block], mask.shape)
    split_components(components, 1, write, lambda block: ids[block], levels=given)
