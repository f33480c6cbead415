"""The list of images, which follows what is selected in the viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QPushButton

from ..common import forms

if TYPE_CHECKING:
    from napari.components import ViewerModel

ImageOf = Callable[[Labels], Image | None]


class ImageChoice(QObject):
    """A list of a viewer's images, and a pin that holds the chosen one.

    Without the pin it takes the image that is selected in the viewer, or the one that the selected
    labels belong to. A job that runs keeps its own image.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers can be chosen.
    """

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.image_of: ImageOf = lambda labels: None
        self.box = forms.layer_box(viewer, Image)
        self.pin = QPushButton("Pin")
        self.pin.setCheckable(True)
        self.pin.setToolTip(
            "Hold this image. Otherwise the image that you select in the viewer, or whose labels "
            "you select, is taken"
        )
        self.pin.toggled.connect(self._follow)
        viewer.layers.selection.events.active.connect(self._follow)

    def reset_choices(self) -> None:
        """Read the list of layers again."""
        self.box.reset_choices()
        self._follow()

    def close(self) -> None:
        """Follow the viewer no more."""
        self.viewer.layers.selection.events.active.disconnect(self._follow)

    def _follow(self, _: Any = None) -> None:
        """Take the image that is selected in the viewer."""
        if self.pin.isChecked():
            return
        active = self.viewer.layers.selection.active
        image = self._meant(active) if active is not None else None
        if image is not None and image in self.box.choices and self.box.value is not image:
            self.box.value = image

    def _meant(self, layer: Any) -> Image | None:
        """Return the image that a layer is or belongs to."""
        if isinstance(layer, Labels):
            name = layer.metadata.get("seglite_image")
            named = (other for other in self.viewer.layers if other.name == name)
            images = (other for other in named if isinstance(other, Image))
            return self.image_of(layer) or next(images, None)
        # Uncertainty is shown as an image, but is none to segment.
        plain = isinstance(layer, Image) and "seglite_scores" not in layer.metadata
        return layer if plain else None
