"""What napari tells about painting, reduced to the boxes that changed."""

from __future__ import annotations

from typing import Any

import numpy as np

Span = tuple[tuple[int, ...], tuple[int, ...]]


def edited_spans(value: Any, shape: tuple[int, ...]) -> list[Span]:
    """Return where the edits of a paint event lie: corners and ends, the latter outside.

    napari hands over objects of its own, which change between releases. Nothing is taken from
    them but where they lie; whatever is not understood stands for the whole array.

    Parameters
    ----------
    value : object
        Of the event.
    shape : tuple of int
        Of the labels.
    """
    try:
        return [_span(edit, shape) for edit in value]
    except (TypeError, ValueError, AttributeError, IndexError):
        return [((0,) * len(shape), tuple(shape))]


def _span(edit: Any, shape: tuple[int, ...]) -> Span:
    box = getattr(edit, "slice_key", None)
    if box is not None:
        ranges = [part.indices(n) for part, n in zip(box, shape, strict=True)]
        return tuple(a for a, *_ in ranges), tuple(b for _, b, _ in ranges)
    places = [np.asarray(part) for part in edit[0]]
    if len(places) != len(shape) or not all(part.size for part in places):
        raise ValueError("not the indices of an edit")
    return tuple(int(p.min()) for p in places), tuple(int(p.max()) + 1 for p in places)
