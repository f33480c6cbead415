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
        axes = guess_axes(tuple(layer.data.shape), bool(layer.rgb))
        axes.check(tuple(layer.data.shape))
    except ImageError as error:
        raise ImageError(f"{layer.name}: {error}") from error
    first = str(layer.axis_labels[0]).lower()
    if axes.stacked and first in ("t", "time"):
        return ImageAxes(axes.order.replace("Z", "T"))
    return axes


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
    shape = axes.label_shape(tuple(layer.data.shape))
    colours = "RGB" if "C" in axes.order else "grey"
    size = f"{shape[-1]} × {shape[-2]}"
    if axes.stacked:
        kind = "slices" if axes.order[0] == "Z" else "time points"
        return f"{shape[0]} {kind}, {colours}, {size}, {layer.dtype}"
    return f"2-D, {colours}, {size}, {layer.dtype}"


def current_frame(viewer: ViewerModel, layer: Image) -> int:
    """Return the index of the slice of a stack that the viewer shows."""
    position = layer.world_to_data(np.asarray(viewer.dims.point)[-layer.ndim :])[0]
    return int(np.clip(round(float(position)), 0, layer.data.shape[0] - 1))


def add_labels(
    viewer: ViewerModel, layer: Image, name: str, labels: np.ndarray, recipe: dict[str, Any]
) -> Labels:
    """Add labels that lie exactly on an image layer, selected and with the brush ready."""
    added = viewer.add_labels(
        labels,
        name=name,
        scale=layer.scale,
        translate=layer.translate,
        rotate=layer.rotate,
        shear=layer.shear,
        affine=layer.affine,
        units=layer.units,
        axis_labels=layer.axis_labels,
        opacity=0.5,
        metadata={"seglite": recipe, "seglite_image": layer.name},
    )
    viewer.layers.selection.active = added
    added.selected_label = 1
    added.brush_size = max(3, min(labels.shape[-2:]) // 40)
    added.mode = "paint"
    return added
