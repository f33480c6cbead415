"""An object that was missed and is added from the probabilities of the last segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AnnotationError
from ...images import Box
from ...labels import level_sets, object_diameter, object_edits

if TYPE_CHECKING:
    from ...inference import Segmentation
    from ..common import TrackedLayer

ADD_HOW = "There is an object here already. Add is for objects that were missed."
NOT_SEGMENTED = (
    "This place was not segmented, so nothing is known of it. Segment the image first, or paint "
    "the object with the brush (2)."
)
NOTHING_SEEN = "The network sees nothing here. Paint the object with the brush (2)."


@dataclass
class ProposedObject:
    """An added object, which can be grown and shrunk until something else is done.

    Attributes
    ----------
    tracked, frame : TrackedLayer, int
        Where it is.
    proposals : Proposals
        Its outlines.
    number : int
        Of the outline that was taken.
    value : int
        Its label.
    """

    tracked: TrackedLayer
    frame: int
    proposals: level_sets.Proposals
    number: int
    value: int

    @property
    def mask(self) -> np.ndarray:
        """Its pixels in the box of the proposals, boolean."""
        return self.proposals.mask(self.number)

    @property
    def pixels(self) -> int:
        """How many pixels it has."""
        return int(np.count_nonzero(self.mask))

    def step(self, step: int) -> bool:
        """Take a larger or a smaller outline; returns whether there is one."""
        before = self.number
        self.number = min(max(before + step, 0), len(self.proposals.levels) - 1)
        return self.number != before

    def edit(self, plane: object_edits.Plane) -> object_edits.Edit:
        """Return the labels with the object."""
        labels = np.array(plane.read(self.proposals.box))
        labels[self.mask] = self.value
        return object_edits.Edit(self.proposals.box, labels, self.value)

    def stands(self, plane: object_edits.Plane) -> bool:
        """Whether the labels are as they were when the object was added."""
        labels, free = plane.read(self.proposals.box), self.proposals.free
        return bool(np.array_equal(labels[free] == self.value, self.mask[free]))

    def holds(self, position: np.ndarray) -> bool:
        """Whether a position in the labels lies in the object, as it is or as it was proposed."""
        order, box = self.tracked.axes.order, self.proposals.box
        row, column = (
            round(float(position[order.index(axis)])) - corner
            for axis, corner in zip("YX", (box.top, box.left), strict=True)
        )
        height, width = box.shape
        if not (0 <= row < height and 0 <= column < width):
            return False
        return bool((self.mask | self.proposals.mask(self.proposals.best))[row, column])


def propose_object(
    tracked: TrackedLayer,
    frame: int,
    plane: object_edits.Plane,
    result: Segmentation | None,
    point: object_edits.Point,
) -> ProposedObject:
    """Find the outlines of an object that was missed, around a pixel of a frame.

    Raises
    ------
    AnnotationError
        If there is an object already, or nothing to find one from.
    """
    pixel = Box(*point, point[0] + 1, point[1] + 1)
    if not Box.whole(plane.shape).holds(pixel) or result is None or frame not in result.frames:
        raise AnnotationError(NOT_SEGMENTED)
    segmented = result.region.box(plane.shape)
    if not segmented.holds(pixel):
        raise AnnotationError(NOT_SEGMENTED)
    box = pixel.grown(level_sets.WINDOW // 2, plane.shape)
    box = Box(
        max(box.top, segmented.top),
        max(box.left, segmented.left),
        min(box.bottom, segmented.bottom),
        min(box.right, segmented.right),
    )
    labels = plane.read(box)
    at = point[0] - box.top, point[1] - box.left
    if labels[at] > 0:
        raise AnnotationError(ADD_HOW)
    chances, kind = _chances(result, frame, box.within(segmented), at)
    found = level_sets.propose(chances, labels == 0, at, box, object_diameter(labels) or 0.0)
    if found is None:
        raise AnnotationError(NOTHING_SEEN)
    return ProposedObject(tracked, frame, found, found.best, kind)


def _chances(
    result: Segmentation, frame: int, box: Box, at: object_edits.Point
) -> tuple[np.ndarray, int]:
    """Return the probabilities of the likeliest class at a pixel, 0 where not segmented, and it."""
    position = result.frames.index(frame)
    all_classes = np.asarray(result.probabilities[position, :, box.rows, box.columns], np.float32)
    kind = 1
    if len(all_classes) > 1:
        kind = 1 + int(all_classes[1:, at[0], at[1]].argmax())
    chances = all_classes[kind if len(all_classes) > 1 else 0]
    known = np.ones(chances.shape, bool)
    if result.inside is not None:
        known &= result.inside[box.slices]
    if result.coverage is not None:
        known &= result.coverage.mask(position, box.rows, box.columns)
    if not known[at]:
        raise AnnotationError(NOT_SEGMENTED)
    return np.where(known, chances, 0), kind
