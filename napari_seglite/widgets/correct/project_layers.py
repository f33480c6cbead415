"""Open the images of a project as layers of the viewer."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...annotation import AnnotationProject, ProjectImage
from ...errors import Cancelled, SegliteError
from ...images import UNKNOWN, blocks, chunked
from ..common import StopSignal, layers
from ..file_layers import layer_unit

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from ..common import CorrectionTracker, TrackedLayer

# Entry, pixels and labels.
OpenedImage = tuple[ProjectImage, Any, Any]


def read_images(
    project: AnnotationProject, stop: StopSignal
) -> Generator[OpenedImage | str, None, None]:
    """Read every image and its labels; yield a sentence for an image that cannot be read."""
    for key, entry in list(project.images.items()):
        try:
            pixels, stored = project.read_pixels(key), project.labels(key)
        except SegliteError as error:
            yield str(error)
            continue
        labels = chunked.zeros(stored.shape, stored.dtype)
        for place in np.ndindex(stored.shape[:-2]):
            for block in blocks(stored.shape[-2:]):
                if stop():
                    raise Cancelled
                labels[(*place, *block)] = stored[(*place, *block)]
        yield entry, pixels, labels


def show_image(
    viewer: ViewerModel, tracker: CorrectionTracker, opened: OpenedImage
) -> TrackedLayer:
    """Add an image and its labels to the viewer, or only the labels if the image is open."""
    from napari.layers import Image

    entry, pixels, labels = opened
    before = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and entry.path and str(layer.source.path or "") == entry.path
    ]
    image = before[0] if before else _add_image(viewer, entry, pixels)
    layer = layers.add_labels(viewer, image, f"{entry.name} corrected", labels, {})
    tracked = tracker.follow(image, layer, entry.checkpoint, entry)
    tracker.register(tracked)
    return tracked


def _add_image(viewer: ViewerModel, entry: ProjectImage, pixels: Any) -> Image:
    order = entry.axes.order
    rgb = order.endswith("C") and pixels.shape[-1] in (3, 4)
    axes = order.removesuffix("C") if rgb else order
    grid = entry.grid
    spacing, units, origin = (
        dict(zip(grid.axes, values, strict=True))
        for values in (grid.spacing, grid.units, grid.origin)
    )
    image = viewer.add_image(
        pixels,
        name=entry.name,
        rgb=rgb,
        scale=[spacing.get(axis, 1.0) for axis in axes],
        units=[layer_unit(str(units.get(axis, UNKNOWN))) for axis in axes],
        translate=[origin.get(axis, 0.0) for axis in axes],
        axis_labels=[axis.lower() for axis in axes],
    )
    layers.choose(image, axes=order, channels=entry.channels)
    return image
