"""Hide what earlier runs left in the layer list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.layers import Labels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

# The mark of an overlay of errors, in its metadata.
ERRORS = "seglite_errors"
# How layers to look at are named after an image or labels; they cannot be edited.
_ENDINGS = (" so far", " learning", " before")


def is_overlay(layer: Layer) -> bool:
    """Whether a layer only shows something about others: uncertainty, errors, a preview."""
    if ERRORS in layer.metadata or "seglite_scores" in layer.metadata:
        return True
    return isinstance(layer, Labels) and not layer.editable and layer.name.endswith(_ENDINGS)


def hide_older(viewer: ViewerModel) -> list[str]:
    """Hide all layers that SegLite added but the current labels of each image, and show those.

    The current labels are the selected ones, or else the last ones that were added. Images, and
    layers that SegLite did not add, stay as they are.

    Returns
    -------
    list of str
        Names of the layers that were hidden.
    """
    results: dict[str, list[Layer]] = {}
    for layer in viewer.layers:
        if "seglite_image" in layer.metadata and not is_overlay(layer):
            results.setdefault(layer.metadata["seglite_image"], []).append(layer)
    active = viewer.layers.selection.active
    current = [active if active in group else group[-1] for group in results.values()]
    older = [
        layer
        for layer in viewer.layers
        if layer.visible
        and layer not in current
        and (is_overlay(layer) or "seglite_image" in layer.metadata)
    ]
    for layer in older:
        layer.visible = False
    for layer in current:
        assert layer is not None
        layer.visible = True
    return [layer.name for layer in older]


def choosable(layers: Sequence[Layer]) -> list[Layer]:
    """Return the Labels layers that can be compared: all but overlays."""
    return [x for x in layers if isinstance(x, Labels) and not is_overlay(x)]
