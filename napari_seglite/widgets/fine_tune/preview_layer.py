"""A layer that shows what the network being trained makes of what is in view."""

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
# By label; unlike napari's own colours, which the corrected labels have.
COLOURS = defaultdict(lambda: "yellow", {0: "transparent", 1: "cyan", 2: "magenta", None: "yellow"})


class TrainingPreview:
    """Shows predictions of the weights there are, frame by frame.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layer with the first prediction.
    image : Image
        What is looked at.
    """

    def __init__(self, viewer: ViewerModel, image: Image) -> None:
        self.viewer, self.image = viewer, image
        self.layer: Labels | None = None

    def show(self, probabilities: np.ndarray, look: ViewedPatch) -> None:
        """Put a prediction ``(K, H, W)`` in its place."""
        if self.layer is None or self.layer not in self.viewer.layers:
            self._add(look)
        assert self.layer is not None
        target = LabelFrames(self.layer.data, look.axes, tuple(look.pixels.shape))
        target.write(look.frame, *look.box.slices, classify(probabilities))
        self.layer.refresh(extent=False, thumbnail=False)

    def _add(self, look: ViewedPatch) -> None:
        labels = chunked.zeros(look.axes.label_shape(tuple(look.pixels.shape)), np.uint8)
        active = self.viewer.layers.selection.active
        self.layer = self.viewer.add_labels(
            labels,
            name=f"{self.image.name} learning",
            opacity=0.9,
            colormap=DirectLabelColormap(color_dict=COLOURS),
            **layers.placement(self.image, look.axes),
        )
        # An outline: what is painted stays visible, and brightness is not covered twice.
        self.layer.contour = 2 if max(look.axes.frame_shape(look.pixels.shape)) <= 1024 else 0
        self.layer.editable = False
        self.viewer.layers.selection.active = active

    def close(self) -> None:
        """Take the layer away."""
        if self.layer is not None and self.layer in self.viewer.layers:
            self.viewer.layers.remove(self.layer)
        self.layer = None
