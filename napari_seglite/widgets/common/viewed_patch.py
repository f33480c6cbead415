"""The part of an image that the viewer shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...errors import SegliteError
from ...images.axes import ImageAxes
from ...images.corrections import Box
from . import layers, viewer_region

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


# A larger part of a frame is not predicted while it is looked at.
LARGEST_LOOK = 1024


@dataclass(frozen=True)
class ViewedPatch:
    """What the viewer shows of an image."""

    pixels: Any
    axes: ImageAxes
    channels: tuple[int, ...] | None
    frame: int
    box: Box


def visible(viewer: ViewerModel, image: Image) -> ViewedPatch:
    """Return the part of an image's current frame that is in view, its middle if that is large."""
    axes, pixels = layers.layer_axes(image), layers.pixels(image)
    height, width = axes.frame_shape(pixels.shape)
    box = (0, 0, height, width)
    if max(height, width) > LARGEST_LOOK:
        try:
            text = viewer_region.region(viewer, image, "visible")
            top, left, bottom, right = (int(float(n)) for n in str(text).split(","))
        except (SegliteError, ValueError):
            top, left, bottom, right = box
        box = (top, left, bottom, right)
    frame = layers.current_frame(viewer, image) if axes.stacked else 0
    return middle(
        ViewedPatch(pixels, axes, layers.choice(image, "channels"), frame, box), LARGEST_LOOK
    )


def middle(look: ViewedPatch, side: int) -> ViewedPatch:
    """Return the middle of what is looked at, of no more than `side` pixels either way."""
    top, left, bottom, right = look.box
    y, x, half = (top + bottom) // 2, (left + right) // 2, side // 2
    box = (max(top, y - half), max(left, x - half), min(bottom, y + half), min(right, x + half))
    return replace(look, box=box)
