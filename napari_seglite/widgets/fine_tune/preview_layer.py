"""A layer that shows predictions of the network while it is trained."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from ...images import LabelFrames, chunked
from ...inference import classify
from ...training import ViewedPatch
from ..common import layers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels
# Colours by label, unlike those of the corrected labels, which are napari's own.
COLOURS = defaultdict(lambda: "yellow", {0: "transparent", 1: "cyan", 2: "magenta", None: "yellow"})


class TrainingPreview:
    """Shows predictions of the current weights, frame by frame.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layer with the first prediction.
    image : Image
        The image that is predicted.
    """

    def __init__(self, viewer: ViewerModel, image: Image) -> None:
        self.viewer, self.image = viewer, image
        self.layer: Labels | None = None

    def show(self, probabilities: np.ndarray, patch: ViewedPatch) -> None:
        """Show a prediction ``(K, H, W)`` in its patch."""
        if self.layer is None or self.layer not in self.viewer.layers:
            self._add(patch)
        assert self.layer is not None
        target = LabelFrames(self.layer.data, patch.axes, tuple(patch.pixels.shape))
        target.write(patch.frame, *patch.box.slices, classify(probabilities))
        self.layer.refresh(extent=False, thumbnail=False)

    def _add(self, patch: ViewedPatch) -> None:
        labels = chunked.zeros(patch.axes.label_shape(tuple(patch.pixels.shape)), np.uint8)
        active = self.viewer.layers.selection.active
        self.layer = self.viewer.add_labels(
            labels,
            name=f"{self.image.name} learning",
            opacity=0.9,
            colormap=DirectLabelColormap(color_dict=COLOURS),
            **layers.placement(self.image, patch.axes),
        )
        # As an outline: paint below it stays visible, and the image is not covered twice.
        self.layer.contour = 2 if max(patch.axes.frame_shape(patch.pixels.shape)) <= 1024 else 0
        self.layer.editable = False
        self.viewer.layers.selection.active = active

    def close(self) -> None:
        """Remove the layer."""
        if self.layer is not None and self.layer in self.viewer.layers:
            self.viewer.layers.remove(self.layer)
        self.layer = None
