"""Whole slices of a layer, taken as corrected, to learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import AnnotationError
from ...images import Box, Corrections
from ...inference import parse_numbers
from ...training import AnnotatedImage
from ..common import layers

if TYPE_CHECKING:
    from napari.layers import Image, Labels


def whole_slices(image: Image, labels: Labels, text: str, current: int) -> AnnotatedImage:
    """Return slices of a stack with all their labels as training data.

    Parameters
    ----------
    image, labels : napari layer
        The image and its labels.
    text : str
        The slices, such as ``"0,3,5-9"``, ``"all"``, or nothing for the current one.
    current : int
        Number of the current slice.

    Raises
    ------
    AnnotationError
        If there is no such slice.
    """
    axes, shape = layers.layer_axes(image), tuple(layers.pixels(image).shape)
    count = axes.frame_count(shape)
    if not axes.stacked or text == "all":
        frames: tuple[int, ...] = tuple(range(count))
    elif not text or text.startswith("current"):
        frames = (current,)
    else:
        frames = parse_numbers(text)
    if absent := [frame for frame in frames if not 0 <= frame < count]:
        raise AnnotationError(f"{image.name} has no slice {absent[0]}; it has {count}, from 0.")
    corrections = Corrections((count, *axes.frame_shape(shape)))
    for frame in frames:
        corrections = corrections.complete(frame, Box.whole(corrections.plane))
    return AnnotatedImage(
        image.name,
        layers.pixels(image),
        # A copy: later strokes are not marked as corrections, so they do not count.
        np.flip(labels.data, layers.mirrored_axes(labels, image)).copy(),
        axes,
        corrections,
        layers.choice(image, "channels"),
        layers.pixel_size(image),
        slice_spacing=layers.slice_distance(image),
    )
