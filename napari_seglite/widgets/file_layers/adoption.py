"""Give a layer that napari opened the axes and place that its file states."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from .facts import FileFacts, first_level, has_pixels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

PLACE = ("scale", "translate", "affine", "units", "axis_labels")


def untouched(layer: Layer) -> bool:
    """Whether nobody has said yet where a layer lies: it is placed by its pixels' numbers."""
    matrix = layer.affine.affine_matrix
    return (
        all(str(unit) == "pixel" for unit in layer.units)
        and np.allclose(layer.scale, 1)
        and np.allclose(layer.translate, 0)
        and np.allclose(matrix, np.eye(len(matrix)))
        and np.allclose(layer.rotate, np.eye(layer.ndim))
        and not np.any(layer.shear)
    )


def unnamed(layer: Layer) -> bool:
    """Whether nobody has named a layer's axes yet."""
    return all(name.lstrip("-").isdecimal() for name in layer.axis_labels)


def adopt(viewer: ViewerModel, layer: Layer, facts: FileFacts) -> None:
    """Place a layer where its file says, and with it what the user has drawn on it.

    What the user or another reader chose is kept. The viewer goes on showing the same pixels,
    unless it shows other layers that have a place already.

    Parameters
    ----------
    viewer, layer : ViewerModel, Layer
        The viewer, and a layer that napari opened.
    facts : FileFacts
        What its file says.
    """
    axes = facts.layer_axes[: layer.ndim]
    if untouched(layer):
        companions = [other for other in viewer.layers if _lies_on(other, layer, facts)]
        alone = all(untouched(other) for other in viewer.layers)
        with _same_view(viewer, layer) if alone else nullcontext():
            _place(layer, facts.placement, range(layer.ndim))
            for other in companions:
                _place(other, facts.placement, _shared_axes(other, layer, axes))
    if unnamed(layer) and "?" not in axes:
        layer.axis_labels = tuple(axes.lower())


def _lies_on(other: Layer, layer: Layer, facts: FileFacts) -> bool:
    """Whether a layer without a file has been placed on another one by its pixels' numbers."""
    if other is layer or other.source.path or not untouched(other) or other.ndim > layer.ndim:
        return False
    if not has_pixels(other):  # points and shapes
        return True
    shape, axes = facts.shape[: layer.ndim], facts.layer_axes[: layer.ndim]
    labels = tuple(n for n, axis in zip(shape, axes, strict=True) if axis != "C")
    return tuple(first_level(other).shape[: other.ndim]) in (shape, labels)


def _shared_axes(other: Layer, layer: Layer, axes: str) -> list[int]:
    """Return the axes of a layer on which another one lies."""
    without = [k for k, axis in enumerate(axes) if axis != "C"]
    return without if other.ndim == len(without) else list(range(layer.ndim))[-other.ndim :]


def _place(layer: Layer, placement: dict[str, Any], axes: Any) -> None:
    """Place a layer by some axes of a placement."""
    chosen = list(axes)
    layer.units = tuple(placement["units"][k] for k in chosen)
    layer.scale = tuple(placement["scale"][k] for k in chosen)
    layer.translate = tuple(placement["translate"][k] for k in chosen)
    if "affine" in placement:
        layer.affine = placement["affine"][np.ix_([*chosen, -1], [*chosen, -1])]
    if unnamed(layer):
        layer.axis_labels = tuple(placement["axis_labels"][k] for k in chosen)


@contextmanager
def _same_view(viewer: ViewerModel, layer: Layer) -> Iterator[None]:
    """Let the viewer show the same pixels of a layer after it was placed anew."""
    dims, camera = viewer.dims, viewer.camera
    if dims.ndim < layer.ndim:  # napari has not shown the layer yet
        yield
        return
    offset = dims.ndim - layer.ndim
    shown = [k - offset for k in dims.displayed if k >= offset]
    point = np.array(dims.point, float)[-layer.ndim :]
    point[shown] = camera.center[-len(shown) :]
    pixel, before = np.asarray(layer.world_to_data(point)), float(layer.scale[shown[-1]])
    yield
    world = np.asarray(layer.data_to_world(pixel))
    for k in range(layer.ndim):
        if k not in shown:
            dims.set_point(k + offset, float(world[k]))
    camera.center = tuple(float(world[k]) for k in shown)
    camera.zoom *= before / float(layer.scale[shown[-1]])
