"""Edits of single objects in a frame: split, merge, delete, and redraw a border with a stroke.

An object is a connected part of one label, so labels that number classes work as well as labels
that number objects. Only the box around the objects concerned is read, which keeps frames of any
size fast, on disk, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.ndimage as ndi

from ..errors import AnnotationError
from ..images import Box

# Pixels around a point in which an object is looked for first, and at most: larger ones would let
# the user wait.
_REACH, LARGEST_REACH = 64, 1024
# Pieces of fewer pixels, as a line along a border leaves them, are no objects.
_SMALLEST_PIECE = 6
# Pixels that a stroke must run outside of an object to be a bulge and no wobble.
_BULGE = 3
_TOUCHING = np.ones((3, 3), bool)

# Row and column of a pixel, and the same of points of a stroke, ``(N, 2)`` with fractions.
Point = tuple[int, int]

NO_OBJECT = "There is no object under the pointer."
TOO_LARGE = (
    "This object is too large to be edited with one click. Use the brush, or the tools for masks."
)
START_OUTSIDE = "Start the stroke inside the object whose border it redraws."
TOO_FAR = "This reaches too far to be edited with one drag. Use the brush, or the tools for masks."
TOO_SMALL = "This object is too small to be split. Use the brush."
NOT_DIVIDED = "The line divides no object. Draw it through the object, from border to border."
MERGE_HOW = "Drag from one object to the other: begin inside the first, end inside the second."
ONE_ALREADY = "The drag begins and ends in the same object."
BETWEEN = "Another object lies between the two. Merge with that one first, or delete it."
NOTHING_CUT = (
    "The stroke changes no border. Draw out of the object and back to enlarge it, or along the new "
    "border inside it to cut off what lies outside."
)


@dataclass(frozen=True)
class Plane:
    """The labels of a frame, read box by box.

    Attributes
    ----------
    read : callable
        Returns a box of the labels, integer.
    shape : tuple of int
        Height and width.
    """

    read: Callable[[Box], np.ndarray]
    shape: tuple[int, int]

    @classmethod
    def of(cls, labels: np.ndarray) -> Plane:
        """Return the plane of labels ``(H, W)`` that are in memory."""
        return cls(lambda box: labels[box.slices], (labels.shape[0], labels.shape[1]))

    def holds(self, point: Point) -> bool:
        """Whether a pixel lies in the frame."""
        return all(0 <= k < n for k, n in zip(point, self.shape, strict=True))


@dataclass(frozen=True)
class Edit:
    """New labels of a part of a frame.

    Attributes
    ----------
    box : Box
        The part.
    labels : ndarray
        ``(h, w)``, in the dtype of the frame.
    value : int
        Label of the object that was edited.
    """

    box: Box
    labels: np.ndarray
    value: int


@dataclass(frozen=True)
class FoundObject:
    """An object in a frame.

    Attributes
    ----------
    value : int
        Its label.
    box : Box
        Around it.
    mask : ndarray
        ``(h, w)`` boolean: its pixels in the box.
    """

    value: int
    box: Box
    mask: np.ndarray

    def within(self, outer: Box) -> np.ndarray:
        """Return its mask in a box that holds its own."""
        mask = np.zeros(outer.shape, bool)
        mask[self.box.within(outer).slices] = self.mask
        return mask


def object_at(plane: Plane, point: Point) -> FoundObject | None:
    """Return the object that a pixel belongs to, or None for background.

    Parameters
    ----------
    plane : Plane
        The frame.
    point : tuple of int
        Row and column; outside of the frame there is background.

    Raises
    ------
    AnnotationError
        If the object is too large to be edited at once.
    """
    reach = _REACH
    while plane.holds(point):
        box = Box(*point, point[0] + 1, point[1] + 1).grown(reach, plane.shape)
        labels = plane.read(box)
        at = point[0] - box.top, point[1] - box.left
        value = int(labels[at])
        if value <= 0:
            return None
        parts, _ = ndi.label(labels == value, _TOUCHING)
        rows, columns = ndi.find_objects(parts, parts[at])[-1]
        inner = Box(rows.start, columns.start, rows.stop, columns.stop)
        found = inner.moved(box.top, box.left)
        # It may go on where it touches the side of a box that is not the frame's.
        if box.holds(found.grown(1, plane.shape)):
            return FoundObject(value, found, parts[inner.slices] == parts[at])
        if reach >= LARGEST_REACH:
            raise AnnotationError(TOO_LARGE)
        reach *= 2
    return None


def delete(plane: Plane, point: Point) -> Edit:
    """Delete the object at a pixel.

    Parameters
    ----------
    plane : Plane
        The frame.
    point : tuple of int
        Row and column.

    Raises
    ------
    AnnotationError
        If there is no object, as in all functions here: its message tells the user what to do.
    """
    found = _object(plane, point, NO_OBJECT)
    return _painted(plane, found.box, {0: found.mask}, found.value)


def split(plane: Plane, stroke: np.ndarray, fresh: int | None = None) -> Edit:
    """Split the object that a line runs through furthest.

    The largest piece keeps the label. A line that ends inside the object is continued straight to
    its border.

    Parameters
    ----------
    plane : Plane
        The frame.
    stroke : ndarray
        ``(N, 2)`` rows and columns.
    fresh : int, optional
        The first of the labels that are free, for the other pieces. Without it, as where labels
        number classes, the pieces keep the label, and the line between them becomes background.
    """
    line = _pixels(stroke, plane.shape)
    found = _object(plane, _crossed(plane, line), NOT_DIVIDED)
    if np.count_nonzero(found.mask) < 2 * _SMALLEST_PIECE:
        raise AnnotationError(TOO_SMALL)
    line = np.concatenate([_onward(line[::-1], found)[::-1], line, _onward(line, found)])
    cut = _drawn(_edgewise(line), found.box)
    pieces, count = ndi.label(found.mask & ~cut, _TOUCHING)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    kept = [k for k in np.argsort(-sizes[1:], kind="stable") + 1 if sizes[k] >= _SMALLEST_PIECE]
    if len(kept) < 2:
        raise AnnotationError(NOT_DIVIDED)
    if fresh is None:
        return _painted(plane, found.box, {0: found.mask & cut}, found.value)
    # The line's own pixels, and crumbs beside it, go to the nearest piece.
    far = ~np.isin(pieces, kept)
    where = ndi.distance_transform_edt(far, return_distances=False, return_indices=True)
    nearest = pieces[tuple(where)]
    new = {fresh + n: found.mask & (nearest == k) for n, k in enumerate(kept[1:])}
    return _painted(plane, found.box, new, found.value)


def merge(plane: Plane, stroke: np.ndarray) -> Edit:
    """Merge the object that a stroke ends in with the one that it begins in, which gives its label.

    Background between them is filled where they are closest.

    Parameters
    ----------
    plane : Plane
        The frame.
    stroke : ndarray
        ``(N, 2)`` rows and columns.
    """
    line = _pixels(stroke, plane.shape)
    first = _object(plane, (int(line[0, 0]), int(line[0, 1])), MERGE_HOW)
    last = _object(plane, (int(line[-1, 0]), int(line[-1, 1])), MERGE_HOW)
    box = _bounded(first.box.joined(last.box))
    one, other = first.within(box), last.within(box)
    if (one & other).any():
        raise AnnotationError(ONE_ALREADY)
    way = ndi.distance_transform_edt(~one) + ndi.distance_transform_edt(~other)
    between = (way <= way[other].min() + 1.5) & (plane.read(box) == 0)
    parts, _ = ndi.label(one | other | between, _TOUCHING)
    if parts[one].max() != parts[other].max():
        raise AnnotationError(BETWEEN)
    return _painted(plane, box, {first.value: other | between}, first.value)


def redraw(plane: Plane, stroke: np.ndarray) -> Edit:
    """Redraw a part of the border of the object that a stroke begins in.

    A stroke that leaves the object and comes back adds the background that it encloses. One that
    stays inside becomes the border: the smaller part, on its other side, is cut off.

    Parameters
    ----------
    plane : Plane
        The frame.
    stroke : ndarray
        ``(N, 2)`` rows and columns.
    """
    line = _pixels(stroke, plane.shape)
    found = _object(plane, (int(line[0, 0]), int(line[0, 1])), START_OUTSIDE)
    (top, left), (bottom, right) = line.min(0).tolist(), line.max(0).tolist()
    stroked = Box(top, left, bottom + 1, right + 1)
    box = _bounded(found.box.joined(stroked).grown(1, plane.shape))
    mask = found.within(box)
    line = line - (box.top, box.left)
    out = ~mask[tuple(line.T)]
    returns = not out[-1] and _longest_run(out) >= _BULGE
    if returns or (out[-1] and out.mean() > 0.5):
        wanted = _bulged(mask, line) & (plane.read(box) == 0)
        painted = {found.value: wanted}
    else:
        wanted = mask & ~_dented(mask, line)
        painted = {0: wanted}
    if not wanted.any():
        raise AnnotationError(NOTHING_CUT)
    return _painted(plane, box, painted, found.value)


def _bulged(mask: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return an object together with what a line out of it encloses."""
    line = np.concatenate([line, _to_nearest(line[-1], mask)])
    drawn = mask.copy()
    drawn[tuple(line.T)] = True
    # Holes that were there before stay.
    own = ndi.binary_fill_holes(mask) & ~mask
    grown = ndi.binary_fill_holes(drawn) & ~own
    return np.asarray(grown & ~_spur(grown, mask))


def _spur(grown: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the lines of single pixels that stick out of what was added to an object."""
    return np.asarray(grown & ~mask & ~ndi.binary_opening(grown, np.ones((2, 2), bool)))


def _dented(mask: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return the larger part of an object that a line, continued to its border, runs through."""
    # The image's side is a border, too.
    mask = np.pad(mask, 1)
    line = line + 1
    ends = [_to_nearest(end, ~mask) for end in (line[0], line[-1])]
    cut = np.zeros_like(mask)
    cut[tuple(_edgewise(np.concatenate([ends[0][::-1], line, ends[1]])).T)] = True
    pieces, count = ndi.label(mask & ~cut, _TOUCHING)
    larger = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1 if count > 1 else mask
    kept = larger | (cut & mask & ndi.binary_dilation(larger, _TOUCHING))
    return np.asarray(kept[1:-1, 1:-1])


# ---------------------------------------------------------------------- strokes
def _pixels(stroke: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels of a stroke in order, ``(M, 2)``, each next to the one before."""
    from skimage.draw import line

    corners = np.clip(np.round(stroke), 0, np.array(shape) - 1).astype(int)
    parts = [corners[:1]]
    for begin, end in pairwise(corners):
        parts.append(np.stack(line(*begin, *end), 1)[1:])
    return np.concatenate(parts)


def _edgewise(line: np.ndarray) -> np.ndarray:
    """Return pixels that also separate what touches at corners only."""
    corners = np.stack([line[1:, 0], line[:-1, 1]], 1)
    return np.concatenate([line, corners])


def _drawn(line: np.ndarray, box: Box) -> np.ndarray:
    """Return a mask of the pixels of a line in a box."""
    drawn = np.zeros(box.shape, bool)
    line = line - (box.top, box.left)
    inside = ((line >= 0) & (line < box.shape)).all(1)
    drawn[tuple(line[inside].T)] = True
    return drawn


def _crossed(plane: Plane, line: np.ndarray) -> Point:
    """Return the middle of the longest way that a line runs through one label."""
    top, left = line.min(0)
    bottom, right = line.max(0) + 1
    labels = plane.read(Box(int(top), int(left), int(bottom), int(right)))
    values = labels[tuple((line - (top, left)).T)].astype(np.int64)
    ends = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [len(values)]])
    lengths = np.diff(ends) * (values[ends[:-1]] > 0)
    longest = int(lengths.argmax())
    row, column = line[(ends[longest] + ends[longest + 1]) // 2]
    return int(row), int(column)


def _onward(line: np.ndarray, found: FoundObject) -> np.ndarray:
    """Return the straight way on from the end of a line to the border of an object."""
    box = found.box
    back = line[max(len(line) - 8, 0)]
    direction = (line[-1] - back).astype(float)
    none = np.empty((0, 2), int)
    if not direction.any():
        return none
    steps = np.arange(1, sum(box.shape) + 1)[:, None]
    way = np.round(line[-1] + steps * direction / np.abs(direction).max()).astype(int)
    local = np.concatenate([line[-1:], way]) - (box.top, box.left)
    inside = np.asarray(((local >= 0) & (local < box.shape)).all(1))
    inside[inside] = found.mask[tuple(local[inside].T)]
    return way[: int(inside.argmin()) - 1] if inside[0] else none


def _to_nearest(point: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the straight way from a pixel to the nearest one of a mask, or to the array's side."""
    from skimage.draw import line

    spots = np.argwhere(target)
    if not len(spots):
        return np.empty((0, 2), int)
    nearest = spots[((spots - point) ** 2).sum(1).argmin()]
    return np.stack(line(*point, *nearest), 1)


def _longest_run(flags: np.ndarray) -> int:
    """Return the length of the longest run of true values."""
    ends = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return int(np.diff(ends)[::2].max(initial=0))


# ---------------------------------------------------------------------- the rest
def _object(plane: Plane, point: Point, otherwise: str) -> FoundObject:
    found = object_at(plane, point)
    if found is None:
        raise AnnotationError(otherwise)
    return found


def _bounded(box: Box) -> Box:
    if max(box.shape) > 2 * LARGEST_REACH:
        raise AnnotationError(TOO_FAR)
    return box


def _painted(plane: Plane, box: Box, values: dict[int, np.ndarray], value: int) -> Edit:
    labels = np.array(plane.read(box))
    for new, where in values.items():
        labels[where] = new
    return Edit(box, labels, value)
