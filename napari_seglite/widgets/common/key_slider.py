"""A slider for fractions that the keyboard moves, too."""

from __future__ import annotations

from typing import cast

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from superqt import QLabeledDoubleSlider


class KeySlider(QLabeledDoubleSlider):
    """A horizontal slider with its value beside it; superqt's own leaves out the keyboard.

    Arrow keys move it by a step, page keys by ten, Home and End to its ends.

    Parameters
    ----------
    low, high : float
        Its ends.
    step : float
        What an arrow key adds.
    decimals : int
        Shown digits.
    """

    def __init__(self, low: float, high: float, step: float = 0.01, decimals: int = 2) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setRange(low, high)
        self.setDecimals(decimals)
        key = Qt.Key
        self._steps = {
            **dict.fromkeys((key.Key_Right, key.Key_Up), step),
            **dict.fromkeys((key.Key_Left, key.Key_Down), -step),
            key.Key_PageUp: 10 * step,
            key.Key_PageDown: -10 * step,
            key.Key_Home: low - high,
            key.Key_End: high - low,
        }
        self._slider.installEventFilter(self)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Move the slider, or leave the key to others."""
        if event is not None and not self._move(event):
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take the keys that the slider inside would swallow."""
        if event is not None and event.type() == QEvent.Type.KeyPress:
            return self._move(cast("QKeyEvent", event))
        return bool(super().eventFilter(watched, event))

    def _move(self, event: QKeyEvent) -> bool:
        step = self._steps.get(Qt.Key(event.key()))
        if step is None:
            return False
        low, high = self.minimum(), self.maximum()
        self.setValue(min(max(self.value() + step, low), high))
        return True
