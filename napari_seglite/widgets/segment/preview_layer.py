"""A layer that shows the labels of a running segmentation so far."""

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

# Seconds before it appears: short runs do without.
PATIENCE = 1.5
# Seconds between two updates, and at least this many times as long as an update takes.
PAUSE, SHARE = 0.3, 20


class SegmentationPreview:
    """Labels of finished tiles: the job's thread writes them, the GUI thread shows them.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that shows the layer.
    image : Image
        The image that is segmented.
    request : SegmentRequest
        Its axes and threshold are used.
    """

    def __init__(self, viewer: ViewerModel, image: Image, request: SegmentRequest) -> None:
        self.viewer, self.image, self.request = viewer, image, request
        self._axes = ImageAxes(request.axes)
        self._shape = tuple(layers.pixels(image).shape)
        self._labels: Any = None
        self._layer: Labels | None = None
        self._started = self._updated = time.monotonic()
        self._pause = 0.0

    def write(self, finished: Finished) -> None:
        """Write the labels of finished pixels; called in the job's thread."""
        if self._labels is None:
            self._labels = chunked.zeros(self._axes.label_shape(self._shape), np.uint8)
        classes = classify(finished.values, self.request.threshold)
        target = chunked.LabelFrames(self._labels, self._axes, self._shape)
        target.write(finished.frame, *finished.box.slices, classes)

    def update(self) -> None:
        """Show the labels so far, if the last update was long enough ago.

        Called in the GUI's thread. Updates of images larger than memory take long and are rarer.
        """
        now = time.monotonic()
        if (
            self._labels is None
            or now - self._started < PATIENCE
            or now - self._updated < self._pause
        ):
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
        self._updated = time.monotonic()
        self._pause = max(PAUSE, SHARE * (self._updated - now))

    def close(self) -> None:
        """Remove the layer."""
        if self._layer is not None and self._layer in self.viewer.layers:
            self.viewer.layers.remove(self._layer)
        self._layer = self._labels = None
