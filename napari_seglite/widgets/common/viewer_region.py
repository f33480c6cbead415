"""The region to segment: the whole image, the visible area, or the inside of drawn shapes."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...errors import ImageError
from ...images import Box, Region
from .layers import from_world, layer_axes, pixels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

Area = Literal["whole", "visible", "shapes"]
AREAS: dict[Area, str] = {
    "whole": "Whole image",
    "visible": "Visible area",
    "shapes": "Inside drawn shapes",
}
CORNERS_OF_ELLIPSE = 72


def viewed_region(viewer: ViewerModel, layer: Image, area: Area) -> str | None:
    """Return the region of an image layer's frames, as `Region.parse` reads it.

    Parameters
    ----------
    viewer : ViewerModel
        Shows the layer.
    layer : Image
        The region is in pixels of this image.
    area : {"whole", "visible", "shapes"}
        Which region; "shapes" are the selected ones of the Shapes layer on top, or all of them.

    Returns
    -------
    str or None
        None for the whole image.

    Raises
    ------
    ImageError
        If no part of the image is visible, or nothing is drawn.
    """
    if area == "whole":
        return None
    return str(_visible(viewer, layer) if area == "visible" else _drawn(viewer, layer))


def visible_box(viewer: ViewerModel, layer: Image) -> Box:
    """Return the visible part of an image layer's frames in pixels.

    Raises
    ------
    ImageError
        If no part of the image is visible.
    """
    return _visible(viewer, layer).box(layer_axes(layer).frame_shape(pixels(layer).shape))


def shows_slices(viewer: ViewerModel, layer: Image) -> bool:
    """Whether the viewer shows slices of an image: in 2-D, along Y and X."""
    axes = layer_axes(layer)
    plane = {axes.order.index(letter) for letter in "YX"}
    displayed = set(np.array(viewer.dims.displayed) - (viewer.dims.ndim - layer.ndim))
    return viewer.dims.ndisplay == 2 and displayed == plane


def slices_hidden(layer: Image) -> str:
    """Return a sentence for the user who acts on a slice that the viewer does not show."""
    return (
        f"The viewer does not show the slices of {layer.name}. Switch to 2-D, and to Y and X under "
        "the image."
    )


def _visible(viewer: ViewerModel, layer: Image) -> Region:
    axes = layer_axes(layer)
    plane = [axes.order.index(letter) for letter in "YX"]
    if not shows_slices(viewer, layer):
        raise ImageError(
            f"The viewer does not show the slices of {layer.name}. Switch to 2-D and to Y and X, "
            "or segment the whole image."
        )
    # Not corner_pixels: a multiscale layer knows them only roughly.
    canvas = getattr(viewer, "canvas", None)  # new in napari 0.9
    size = np.array(canvas.size if canvas is not None else viewer._canvas_size)
    middle = np.asarray(viewer.camera.center)[-2:]
    corners = []
    for sides in product((-0.5, 0.5), repeat=2):
        world = np.array(viewer.dims.point, float)
        world[list(viewer.dims.displayed)] = middle + size / viewer.camera.zoom * sides
        corners.append(from_world(layer, world[-layer.ndim :])[plane])
    limits = np.array(axes.frame_shape(pixels(layer).shape))
    top, left = np.clip(np.floor(np.min(corners, 0) + 0.5), 0, limits).astype(int).tolist()
    bottom, right = np.clip(np.ceil(np.max(corners, 0) + 0.5), 0, limits).astype(int).tolist()
    if bottom <= top or right <= left:
        raise ImageError(f"No part of {layer.name} is visible. Move it into view.")
    return Region.rectangle(top, left, bottom, right)


def anything_drawn(viewer: ViewerModel) -> bool:
    """Whether there are shapes in the viewer."""
    from napari.layers import Shapes

    return any(isinstance(other, Shapes) and other.nshapes for other in viewer.layers)


def _drawn(viewer: ViewerModel, layer: Image) -> Region:
    """Return the selected shapes of the Shapes layer on top, or all of them."""
    from napari.layers import Shapes

    drawings = [other for other in viewer.layers if isinstance(other, Shapes) and other.nshapes]
    if not drawings:
        raise ImageError("Nothing is drawn. Add a Shapes layer and draw around the region.")
    active = viewer.layers.selection.active
    drawn = active if any(active is other for other in drawings) else drawings[-1]
    chosen = sorted(drawn.selected_data) or range(drawn.nshapes)
    polygons = [_polygon(drawn, k, layer) for k in chosen if drawn.shape_type[k] != "line"]
    if not polygons:
        raise ImageError(f"{drawn.name} holds only lines. Draw a rectangle or a polygon.")
    return Region(tuple(polygons))


def _polygon(drawn: Shapes, number: int, layer: Image) -> tuple[tuple[float, float], ...]:
    """Return a shape's outline in pixels of an image layer."""
    vertices = np.asarray(drawn.data[number], float)
    if drawn.shape_type[number] == "ellipse":
        centre, (a, b) = vertices.mean(0), (vertices[1:3] - vertices[:2]) / 2
        angles = np.linspace(0, 2 * np.pi, CORNERS_OF_ELLIPSE, endpoint=False)[:, None]
        vertices = centre + np.cos(angles) * a + np.sin(angles) * b
    axes = layer_axes(layer)
    plane = [axes.order.index(letter) for letter in "YX"]
    outline = []
    for vertex in vertices:
        world = np.asarray(drawn.data_to_world(vertex))
        # A shape drawn in 2-D has no coordinate along the stack, and needs none.
        world = np.concatenate([np.zeros(max(layer.ndim - len(world), 0)), world])[-layer.ndim :]
        pixel = from_world(layer, world)[plane]
        outline.append((float(pixel[0]), float(pixel[1])))
    return tuple(outline)
