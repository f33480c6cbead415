"""Slabs: the slices of a stack that a network segments together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..checkpoints import CheckpointInfo
from ..images import ImageAxes
from .tiling import plan_axis

# Slices of a slab, and slices that neighbouring slabs share, for networks that see volumes.
DEPTH, DEPTH_OVERLAP = 32, 8


@dataclass(frozen=True)
class Slab:
    """Frames that a network reads and segments together.

    Attributes
    ----------
    positions : tuple of int
        Segmented frames, as positions among the requested ones.
    read : tuple of int
        Numbers of the frames that the network sees.
    offsets : tuple of int
        Index of every segmented frame in `read`; 0 for networks that segment one slice.
    """

    positions: tuple[int, ...]
    read: tuple[int, ...]
    offsets: tuple[int, ...]


def plan_slabs(
    axes: ImageAxes, shape: tuple[int, ...], frames: Sequence[int], info: CheckpointInfo
) -> list[Slab]:
    """Return one slab per frame or, for networks that see volumes, one per block of slices.

    A slice in the overlap of two blocks comes from the block whose middle is nearer.

    Parameters
    ----------
    axes : ImageAxes
        Axes of the image.
    shape : tuple of int
        Shape of the image.
    frames : sequence of int
        Requested frames.
    info : CheckpointInfo
        Card of the checkpoint.
    """
    position_of = {frame: position for position, frame in enumerate(frames)}
    if not info.volumetric:
        return [
            Slab((position_of[k],), axes.neighbours(k, shape, info.context_slices), (0,))
            for k in frames
        ]
    slabs = []
    for volume in axes.volumes(shape):
        plan = plan_axis(len(volume), DEPTH, DEPTH_OVERLAP)
        best = [
            int(np.argmin([abs(start + (plan.size - 1) / 2 - z) for start in plan.starts]))
            for z in range(len(volume))
        ]
        for number, start in enumerate(plan.starts):
            block = volume[start : start + plan.size]
            segmented = [
                (position_of[k], z)
                for z, k in enumerate(block)
                if best[start + z] == number and k in position_of
            ]
            if segmented:
                positions, offsets = zip(*segmented, strict=True)
                slabs.append(Slab(positions, tuple(block), offsets))
    return slabs
