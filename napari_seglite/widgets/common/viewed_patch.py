"""The patch of an image that the viewer shows, for previews during training."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import SegliteError
from ...images import Box
from ...training import ViewedPatch
from . import layers, viewer_region

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


# Side in pixels of the largest patch that is predicted during training.
LARGEST = 1024


def viewed_patch(viewer: ViewerModel, image: Image) -> ViewedPatch:
    """Return the visible part of an image's current frame; of a large one, its middle.

    Raises
    ------
    ImageError
        If the layer's axes do not fit its pixels.
    """
    axes, pixels = layers.layer_axes(image), layers.pixels(image)
    box = Box.whole(axes.frame_shape(pixels.shape))
    if max(box.shape) > LARGEST:
        with suppress(SegliteError):  # the viewer shows another plane: use the middle of the frame
            box = viewer_region.visible_box(viewer, image)
    frame = layers.current_frame(viewer, image) if axes.stacked else 0
    channels = layers.choice(image, "channels")
    return ViewedPatch(pixels, axes, channels, frame, box.middle(LARGEST))
