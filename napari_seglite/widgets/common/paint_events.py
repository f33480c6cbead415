"""Where paint events of napari changed labels: boxes of the array, and frames of the stack."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...images import Box, ImageAxes

# First corner, and the one opposite, which lies outside, one number per axis of the labels.
Span = tuple[tuple[int, ...], tuple[int, ...]]


def edited_spans(value: Any, shape: tuple[int, ...]) -> list[Span]:
    """Return the boxes that the edits of a paint event lie in.

    napari passes objects of its own, which change between releases. Only the positions in them
    are read; an event that cannot be read stands for the whole array.

    Parameters
    ----------
    value : object
        The event's ``value``.
    shape : tuple of int
        Of the labels.
    """
    try:
        return [_edited_span(edit, shape) for edit in value]
    except (TypeError, ValueError, AttributeError, IndexError):
        return [((0,) * len(shape), tuple(shape))]


def _edited_span(edit: Any, shape: tuple[int, ...]) -> Span:
    box = getattr(edit, "slice_key", None)
    if box is not None:
        ranges = [side.indices(n) for side, n in zip(box, shape, strict=True)]
        return tuple(a for a, *_ in ranges), tuple(b for _, b, _ in ranges)
    indices = [np.asarray(axis) for axis in edit[0]]
    if len(indices) != len(shape) or not all(axis.size for axis in indices):
        raise ValueError("not the indices of an edit")
    return tuple(int(i.min()) for i in indices), tuple(int(i.max()) + 1 for i in indices)


def span_in_frame(axes: ImageAxes, shape: tuple[int, ...], frame: int, box: Box) -> Span:
    """Return where a box of a frame lies in the labels.

    Parameters
    ----------
    axes : ImageAxes
        Of the labels.
    shape : tuple of int
        Of the labels.
    frame : int
        Number of the frame.
    box : Box
        In pixels of the frame.
    """
    place = np.unravel_index(frame, axes.stack_shape(shape) or (1,))
    begin = {"Y": box.top, "X": box.left}
    begin |= {axis: int(k) for axis, k in zip(axes.stack, place, strict=False)}
    sides = dict(zip("YX", box.shape, strict=True))
    corner = tuple(begin[axis] for axis in axes.order)
    return corner, tuple(begin[axis] + sides.get(axis, 1) for axis in axes.order)


def joined(first: Span, second: Span) -> Span:
    """Return the smallest span around both if they lie in the same frame, else the second."""
    (a, b), (corner, end) = first, second
    if a[:-2] != corner[:-2]:
        return second
    return tuple(map(min, a, corner)), tuple(map(max, b, end))


def frames_of(span: Span, axes: ImageAxes, shape: tuple[int, ...]) -> list[tuple[int, Box]]:
    """Return the numbers of the frames that a span lies in, each with the span's box there.

    Parameters
    ----------
    span : tuple
        Of an edit.
    axes : ImageAxes
        Of the labels.
    shape : tuple of int
        Of the labels.

    Returns
    -------
    list of (int, Box)
        Empty if the span covers a whole stack: no such edit says anything about single frames.
    """
    ranges = {axis: range(*ends) for axis, *ends in zip(axes.order, *span, strict=True)}
    box = Box(ranges["Y"].start, ranges["X"].start, ranges["Y"].stop, ranges["X"].stop)
    sizes = axes.stack_shape(shape)
    if not axes.stack:
        return [(0, box)]
    if math.prod(len(ranges[axis]) for axis in axes.stack) == math.prod(sizes) > 1:
        return []
    places = np.meshgrid(*(np.array(ranges[axis]) for axis in axes.stack), indexing="ij")
    numbers = np.ravel_multi_index([place.ravel() for place in places], sizes)
    return [(int(number), box) for number in numbers]
