"""The way in without a first mask: scribbles, and a network that learns while they are painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from ..common import StatusLabel, layers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from ..common import CorrectionTracker

FIRST = (
    "Nothing to correct yet. Segment the image in the first tab and correct the result with the "
    "brush. Or teach a network from nothing: scribble a little background and a few objects."
)
NO_IMAGE = "Open an image first, then segment it, or scribble on it."


class FirstSteps(QWidget):
    """What to do while there are no labels on the image, and a button to begin with scribbles.

    Signals
    -------
    asked()
        Scribbles should be learnt live.
    """

    asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.hint = StatusLabel(FIRST, lines=3)
        self.button = QPushButton("Scribble and learn live")
        self.button.setToolTip(
            "Adds a layer to scribble on: label 1 for background, label 2 for objects.\n"
            "After the first strokes of both, the prediction appears and follows every stroke"
        )
        self.button.clicked.connect(self.asked)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.hint)
        column.addWidget(self.button)

    def show_for(self, image: Image | None, has_labels: bool) -> None:
        """Show the hint if there is nothing to correct."""
        self.hint.say(NO_IMAGE if image is None else FIRST)
        self.button.setEnabled(image is not None)
        self.setVisible(not has_labels)


def add_scribbles(viewer: ViewerModel, tracker: CorrectionTracker, image: Image) -> Labels:
    """Add a layer for scribbles on an image, in which nothing counts but paint.

    Parameters
    ----------
    viewer, tracker : ViewerModel, CorrectionTracker
        The viewer, and what follows its layers.
    image : Image
        The image.
    """
    empty = np.zeros(layers.label_shape(image), np.uint8)
    tracker.mode = "scribble"
    try:
        scribbles = layers.add_labels(viewer, image, f"{image.name} scribbles", empty, {})
        scribbles.selected_label = 2
        tracker.follow(image, scribbles)
    finally:
        tracker.mode = "dense"
    return scribbles
