"""What a running segmentation has found so far, as a layer that goes when it is through."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ...images import ImageAxes, chunked
from ...inference import SegmentRequest, classify
from ..common import layers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from ...inference import Finished

# Seconds before it appears: what is done sooner need not flicker.
PATIENCE = 3
# Seconds between two looks at it, and how many times longer than one look takes.
PAUSE, SHARE = 0.3, 20


class SegmentationPreview:
    """Labels of the pixels that are finished, written in the job's thread.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layer.
    image : Image
        What is segmented.
    request : SegmentRequest
        How.
    """

    def __init__(self, viewer: ViewerModel, image: Image, request: SegmentRequest) -> None:
        self.viewer, self.image, self.request = viewer, image, request
        self._axes = ImageAxes(request.axes)
        self._shape = tuple(layers.pixels(image).shape)
        self._labels: Any = None
        self._layer: Labels | None = None
        self._begun = self._shown = time.monotonic()
        self._pause = 0.0

    def write(self, finished: Finished) -> None:
        """Keep some rows; in the job's thread."""
        if self._labels is None:
            self._labels = chunked.zeros(self._axes.label_shape(self._shape), np.uint8)
        classes = classify(finished.values, self.request.threshold)
        target = chunked.LabelFrames(self._labels, self._axes, self._shape)
        target.write(finished.frame, *finished.box.slices, classes)

    def look(self) -> None:
        """Show what there is by now; in the GUI's thread.

        The longer that takes, as it does with images larger than memory, the less often.
        """
        now = time.monotonic()
        if self._labels is None or now - self._begun < PATIENCE or now - self._shown < self._pause:
            return
        if self._layer is None:
            active = self.viewer.layers.selection.active
            self._layer = self.viewer.add_labels(
                self._labels,
                name=f"{self.image.name} so far",
                opacity=0.4,
                **layers.placement(self.image, self._axes),
            )
            self._layer.editable = False
            self.viewer.layers.selection.active = active
        elif self._layer in self.viewer.layers:
            self._layer.refresh(extent=False, thumbnail=False)
        self._shown = time.monotonic()
        self._pause = max(PAUSE, SHARE * (self._shown - now))

    def close(self) -> None:
        """Take the layer away."""
        if self._layer is not None and self._layer in self.viewer.layers:
            self.viewer.layers.remove(self._layer)
        self._layer = self._labels = None
