"""Two pictures of the same patch: outlines of the old and of the new checkpoint."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from ...inference import BeforeAfter

# Cyan, as the outline of the training preview.
OUTLINE = (0.0, 1.0, 1.0)
# Side of a picture in pixels, at most.
LARGEST = 220


class BeforeAfterView(QWidget):
    """Shows outlines before and after a training run, side by side."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pictures: list[QPixmap] = []
        self.captions = [QLabel(), QLabel()]
        self.pictures = [QLabel(), QLabel()]
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        for column, (caption, picture) in enumerate(zip(self.captions, self.pictures, strict=True)):
            picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
            # The pictures follow the panel's width, not the panel theirs.
            picture.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
            caption.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            grid.addWidget(caption, 0, column)
            grid.addWidget(picture, 1, column)
            grid.setColumnStretch(column, 1)
        self.hide()

    def show_pair(self, pair: BeforeAfter) -> None:
        """Draw the outlines of both checkpoints."""
        self._pictures = [_outlined(pair.pixels, classes) for classes in (pair.before, pair.after)]
        for caption, word, name in zip(self.captions, ("before", "after"), pair.names, strict=True):
            caption.setText(word)
            caption.setToolTip(name)
        self.show()
        self._fit()

    def clear(self) -> None:
        """Hide the pictures."""
        self._pictures = []
        self.hide()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fit the pictures to the panel's width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        side = min(LARGEST, max(40, (self.width() - 6) // 2))
        ratio = self.devicePixelRatioF()
        for label, picture in zip(self.pictures, self._pictures, strict=False):
            fitted = picture.scaled(
                round(side * ratio),
                round(side * ratio),
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
            fitted.setDevicePixelRatio(ratio)
            label.setPixmap(fitted)
            label.setFixedHeight(round(fitted.height() / ratio))


def _outlined(pixels: np.ndarray, classes: np.ndarray) -> QPixmap:
    from skimage.segmentation import mark_boundaries

    drawn = mark_boundaries(pixels, classes, color=OUTLINE, mode="inner")
    data = np.ascontiguousarray((drawn * 255).round().astype(np.uint8))
    height, width, _ = data.shape
    image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)  # a copy: `data` goes
