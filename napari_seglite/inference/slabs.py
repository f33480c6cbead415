"""What a network segments in one go: a slice of a stack, or a block of slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..checkpoints import CheckpointInfo
from ..images import ImageAxes
from .tiling import plan_axis

# Slices of a block, and those that neighbouring blocks share.
DEPTH, DEPTH_OVERLAP = 32, 8


@dataclass(frozen=True)
class Slab:
    """What the network segments in one go.

    Attributes
    ----------
    positions : tuple of int
        Frames that come out of it, as positions among those that were asked for.
    read : tuple of int
        Numbers of the frames that the network sees.
    offsets : tuple of int
        Where among `read` those that come out are.
    """

    positions: tuple[int, ...]
    read: tuple[int, ...]
    offsets: tuple[int, ...]


def plan_slabs(
    axes: ImageAxes, shape: tuple[int, ...], frames: Sequence[int], info: CheckpointInfo
) -> list[Slab]:
    """Return a unit for every frame, or for a network that sees volumes for every block of them.

    Of a slice that two blocks see, the one counts that sees more of what is around it.
    """
    place = {frame: position for position, frame in enumerate(frames)}
    if not info.volumetric:
        return [
            Slab((place[k],), axes.neighbours(k, shape, info.context_slices), (0,)) for k in frames
        ]
    units = []
    for volume in axes.volumes(shape):
        plan = plan_axis(len(volume), DEPTH, DEPTH_OVERLAP)
        best = [
            int(np.argmin([abs(start + (plan.size - 1) / 2 - z) for start in plan.starts]))
            for z in range(len(volume))
        ]
        for number, start in enumerate(plan.starts):
            block = volume[start : start + plan.size]
            out = [
                (place[k], z)
                for z, k in enumerate(block)
                if best[start + z] == number and k in place
            ]
            if out:
                positions, offsets = zip(*out, strict=True)
                units.append(Slab(positions, tuple(block), offsets))
    return units
