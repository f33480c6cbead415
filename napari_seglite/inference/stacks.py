"""Objects of a stack: in 3-D, joined slice by slice, or of each slice; and their ids over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..images import Grid, ImageAxes, LabelFrames
from ..labels import Counts, FrameJoiner, JoinRule, pixel_sizes
from .request import SLICE_SPACING, SegmentRequest

# A joined object is cut where its slices shrink to less than this share and grow again.
WAIST = 0.5

Groups = Sequence[Sequence[int]]


def slice_spacing(grid: Grid) -> float | None:
    """Return the distance between two slices in pixels of a slice.

    Parameters
    ----------
    grid : Grid
        Of the labels.

    Returns
    -------
    float or None
        None without Z, or where the sizes do not make a proportion.
    """
    sizes, _ = pixel_sizes(grid)
    if "Z" not in sizes:
        return None
    spacing = round(sizes["Z"] / math.sqrt(sizes["Y"] * sizes["X"]), 3)
    return spacing if SLICE_SPACING[0] <= spacing <= SLICE_SPACING[1] else None


@dataclass(frozen=True)
class StackPlan:
    """Which frames are labelled together, and which are joined afterwards.

    Attributes
    ----------
    groups : sequence of sequence of int
        Frames that are labelled together.
    min_size : int or None
        Smallest object of a group; None for the request's.
    slices : sequence of sequence of int
        Frames of each volume whose slices are joined.
    series : sequence of sequence of sequence of int
        Of everything that keeps its ids over time, the frames at each time point.
    rule : JoinRule
        Which objects are joined.
    smallest : int
        Smallest object after joining slices.
    """

    groups: Groups
    min_size: int | None = None
    slices: Groups = ()
    series: Sequence[Groups] = ()
    rule: JoinRule = field(default_factory=JoinRule)
    smallest: int = 0

    @classmethod
    def of(cls, request: SegmentRequest, shape: tuple[int, ...]) -> StackPlan:
        """Return the plan for an image of a shape.

        Objects reach across slices only where all slices were segmented.

        Parameters
        ----------
        request : SegmentRequest
            A resolved one.
        shape : tuple of int
            Of the image.
        """
        axes = ImageAxes(request.axes)
        if request.frames is not None:
            return cls([[k] for k in range(len(request.frames))])
        volumes, objects = axes.volumes(shape), request.output == "instances"
        if not objects:
            return cls(volumes)
        joined = "Z" in axes.stack and request.stack_objects == "joined"
        groups = volumes
        if request.stack_objects in ("joined", "slices"):
            groups = [[k] for k in range(axes.frame_count(shape))]
        series: list[Groups] = []
        if request.time_objects and "T" in axes.stack:
            planes = [[[k] for k in frames] for frames in zip(*volumes, strict=True)]
            series = list(planes) if request.stack_objects == "slices" else [volumes]
        return cls(
            groups,
            0 if joined else None,
            volumes if joined else (),
            series,
            JoinRule(request.least_overlap, request.largest_gap),
            (request.min_size or 0) if joined else 0,
        )

    def joined(self, target: LabelFrames, shape: tuple[int, int], counts: Counts) -> Counts:
        """Join the objects in labels as planned, and return how many there are then.

        Parameters
        ----------
        target : LabelFrames
            The labels of `groups`.
        shape : tuple of int
            Height and width of a frame.
        counts : Counts
            Of the labels.
        """
        if not (self.slices or self.series):
            return counts
        frames = sum(map(len, self.groups))
        joiner = FrameJoiner(target, shape, frames, counts.objects)
        if self.slices:
            stacks = [[[frame] for frame in volume] for volume in self.slices]
            joiner.join(stacks, replace(self.rule, waist=WAIST))
            joiner.drop_small(self.smallest)
        if self.series:
            joiner.join(self.series, self.rule)
        return joiner.write()
