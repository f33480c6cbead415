"""The labels before the last segmentation, shown in place of those after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


class BeforeLayer(QObject):
    """A layer to look at that hides another one as long as it is there.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layer.

    Signals
    -------
    closed()
        The later labels are shown again.
    """

    closed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self._hidden: Labels | None = None
        self._layer: Labels | None = None

    def show(self, layer: Labels, before: np.ndarray) -> None:
        """Show earlier labels of a layer in its place; they cannot be edited.

        Parameters
        ----------
        layer : Labels
            The layer with the later labels.
        before : ndarray
            Integer, of the layer's shape.
        """
        self.close()
        self._hidden = layer
        self._layer = self.viewer.add_labels(
            before,
            name=f"{layer.name} before",
            opacity=layer.opacity,
            colormap=layer.colormap,
            **{name: getattr(layer, name) for name in _PLACE},
        )
        self._layer.editable = False
        layer.visible = False
        self.viewer.layers.selection.active = layer

    def close(self) -> None:
        """Show the later labels again."""
        layer, hidden = self._layer, self._hidden
        self._layer = self._hidden = None
        if hidden is not None:
            hidden.visible = True
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
        if layer is not None:
            self.closed.emit()
