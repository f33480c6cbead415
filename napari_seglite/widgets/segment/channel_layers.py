"""Layers that are the channels of one image, joined into one layer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from ...errors import ImageError
from ..common import layers

if TYPE_CHECKING:
    from napari.components import ViewerModel

# Bytes up to which joined channels are copied; larger ones are read when they are needed.
COPIED = 30_000_000


def channel_layers(viewer: ViewerModel, image: Image | None) -> list[Image]:
    """Return the layers that can be channels of one image, in the order of the layer list.

    They are images of one channel, of the same shape and place: those that are selected, if there
    are several, or else all if some are blended additively, as napari shows channels.

    Parameters
    ----------
    viewer : ViewerModel
        Shows them.
    image : Image or None
        One of them.

    Returns
    -------
    list of Image
        Empty if there is only one.
    """
    if image is None or not _is_single(image):
        return []
    alike = [other for other in viewer.layers if _is_alike(other, image)]
    chosen = [layer for layer in alike if layer in viewer.layers.selection]
    if len(chosen) < 2 or image not in chosen:
        chosen = alike if any(layer.blending == "additive" for layer in alike) else []
    return chosen if len(chosen) > 1 and image in chosen else []


def _is_single(layer: Image) -> bool:
    try:
        plain = not layer.rgb and "seglite_scores" not in layer.metadata
        return plain and "C" not in layers.layer_axes(layer).order
    except ImageError:
        return False


def _is_alike(other: Any, image: Image) -> bool:
    if not isinstance(other, Image) or other.multiscale != image.multiscale:
        return False
    if other.data.shape != image.data.shape or not _is_single(other):
        return False
    corners = np.array([np.zeros(image.ndim), *np.eye(image.ndim)])
    return all(np.allclose(other.data_to_world(c), image.data_to_world(c)) for c in corners)


def join_channels(viewer: ViewerModel, channels: list[Image]) -> Image:
    """Add a layer whose channels are these layers, select it, and hide them.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layer.
    channels : list of Image
        From `channel_layers`.
    """
    first = channels[0]
    order = layers.layer_axes(first).order
    several = first.multiscale
    per_level = (
        zip(*(c.data for c in channels), strict=True)
        if several
        else [tuple(c.data for c in channels)]
    )
    levels = [_stacked(level) for level in per_level]
    # Letters, as wanted here, not folders.
    common = os.path.commonprefix([c.name for c in channels])  # noqa: RUF071
    common = common.rstrip(" -_[(:.0123456789")
    joined = viewer.add_image(
        levels if several else levels[0],
        multiscale=several,
        rgb=False,
        name=f"{common or first.name} channels",
        **_placement(first),
    )
    layers.choose(joined, axes=f"C{order}")
    for channel in channels:
        channel.visible = False
    viewer.layers.selection.active = joined
    return joined


def _stacked(arrays: tuple[Any, ...]) -> Any:
    """Stack arrays along a new first axis; large and lazy ones without reading them."""
    plain = all(isinstance(array, np.ndarray) for array in arrays)
    if plain and sum(array.nbytes for array in arrays) <= COPIED:
        return np.stack(arrays)
    import dask.array

    return dask.array.stack([dask.array.asarray(array) for array in arrays])


def _placement(layer: Image) -> dict[str, Any]:
    """Return the arguments that place a layer with a first axis more on another one."""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    steps = [np.asarray(layer.data_to_world(step)) - origin for step in np.eye(layer.ndim)]
    affine = np.eye(layer.ndim + 2)
    affine[1:-1, 1:-1] = np.stack(steps, axis=1)
    affine[1:-1, -1] = origin
    names = tuple(str(name) for name in layer.axis_labels)
    placed: dict[str, Any] = {
        "units": ("pixel", *layer.units),
        "axis_labels": ("c", *names),
    }
    matrix = affine[:-1, :-1]
    if np.count_nonzero(matrix - np.diag(np.diag(matrix))):
        return {**placed, "affine": affine}
    return {**placed, "scale": np.diag(matrix), "translate": affine[:-1, -1]}
