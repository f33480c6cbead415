"""napari layers -> what the engine takes, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox, create_widget
from qtpy.QtWidgets import QComboBox

from ..engine.axes import ImageAxes, guess_axes
from ..errors import ImageError

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels


# What people call their axes.
_LETTERS = {
    **dict.fromkeys(("t", "time", "frame"), "T"),
    **dict.fromkeys(("z", "depth", "slice", "plane"), "Z"),
    **dict.fromkeys(("c", "ch", "channel", "channels"), "C"),
    "y": "Y",
    "x": "X",
}
_KINDS = {"T": "time points", "Z": "slices"}


def layer_box(kind: type) -> ComboBox:
    """Return a list of the viewer's layers of a kind, `Image` or `Labels`, to choose from."""
    box = create_widget(annotation=kind)
    assert isinstance(box, ComboBox)
    # A long layer name must not widen the dock.
    box.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return box


def layer_axes(layer: Image) -> ImageAxes:
    """Return the axes of an image layer.

    Raises
    ------
    ImageError
        If it is multiscale or has more axes than a stack; the message names the layer.
    """
    if layer.multiscale:
        raise ImageError(
            f"{layer.name} is multiscale. Extract one of its levels into a layer and segment that."
        )
    try:
        axes = _named_axes(layer) or guess_axes(tuple(layer.data.shape), bool(layer.rgb))
        axes.check(tuple(layer.data.shape))
    except ImageError as error:
        raise ImageError(f"{layer.name}: {error}") from error
    return axes


def _named_axes(layer: Image) -> ImageAxes | None:
    """Return the axes that a layer's labels name, or None if they do not name them all.

    Of a stack that says only what its first axis is, the others are Y and X.
    """
    letters = [_LETTERS.get(str(name).lower(), "") for name in layer.axis_labels]
    if letters[-2:] == ["", ""]:
        letters[-2:] = ["Y", "X"]
    if not all(letters) or len(set(letters)) < len(letters) or not {"Y", "X"} <= set(letters):
        return None
    if layer.rgb and "C" in letters:
        return None
    return ImageAxes("".join(letters) + "C" * bool(layer.rgb))


def is_stack(layer: Image | None) -> bool:
    """Whether a layer can be segmented slice by slice."""
    try:
        return layer is not None and layer_axes(layer).stacked
    except ImageError:
        return False


def describe(layer: Image) -> str:
    """Say in a few words what an image layer holds."""
    try:
        axes = layer_axes(layer)
    except ImageError as error:
        return str(error)
    shape = tuple(layer.data.shape)
    height, width = axes.frame_shape(shape)
    parts = [
        f"{count} {_KINDS[axis]}"
        for axis, count in zip(axes.stack, axes.stack_shape(shape), strict=True)
    ]
    if "C" not in axes.order:
        colours = "grey"
    else:
        colours = "RGB" if layer.rgb else f"{shape[axes.order.index('C')]} channels"
    return ", ".join([*(parts or ["2-D"]), colours, f"{width} × {height}", str(layer.dtype)])


def current_frame(viewer: ViewerModel, layer: Image) -> int:
    """Return the number of the frame of a stack that the viewer shows."""
    axes, shape = layer_axes(layer), tuple(layer.data.shape)
    position = layer.world_to_data(np.asarray(viewer.dims.point)[-layer.ndim :])
    place = [round(float(position[axes.order.index(axis)])) for axis in axes.stack]
    sizes = axes.stack_shape(shape)
    return int(np.ravel_multi_index(np.clip(place, 0, np.array(sizes) - 1).tolist(), sizes))


def add_labels(
    viewer: ViewerModel, layer: Image, name: str, labels: np.ndarray, recipe: dict[str, Any]
) -> Labels:
    """Add labels that lie exactly on an image layer, selected and with the brush ready."""
    added = viewer.add_labels(
        labels,
        name=name,
        opacity=0.5,
        metadata={"seglite": recipe, "seglite_image": layer.name},
        **_placement(layer, layer_axes(layer)),
    )
    viewer.layers.selection.active = added
    added.selected_label = 1
    added.brush_size = max(3, min(labels.shape[-2:]) // 40)
    added.mode = "paint"
    return added


def _placement(layer: Image, axes: ImageAxes) -> dict[str, Any]:
    """Return what puts labels exactly onto an image layer, whose channel axis they lack."""
    if layer.rgb or "C" not in axes.order:
        names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
        return {name: getattr(layer, name) for name in names}
    kept = [k for k, axis in enumerate(axes.order) if axis != "C"]
    origin = np.array(layer.data_to_world(np.zeros(layer.ndim)))
    matrix = np.eye(len(kept) + 1)
    matrix[:-1, -1] = origin[kept]
    for column, k in enumerate(kept):
        step = np.array(layer.data_to_world(np.eye(layer.ndim)[k])) - origin
        matrix[:-1, column] = step[kept]
    placed: dict[str, Any] = {
        "units": tuple(layer.units[k] for k in kept),
        "axis_labels": tuple(layer.axis_labels[k] for k in kept),
    }
    if np.count_nonzero(matrix[:-1, :-1] - np.diag(np.diag(matrix[:-1, :-1]))):
        return {**placed, "affine": matrix}
    return {**placed, "scale": np.diag(matrix)[:-1], "translate": matrix[:-1, -1]}
