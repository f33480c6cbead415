"""What the colours of an overlay mean."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPainter, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget


class Legend(QWidget):
    """A row of coloured squares, each with what it stands for.

    Parameters
    ----------
    entries : mapping
        Meaning by colour; a transparent colour gets an empty square.
    tip : str
        Shown under the pointer.
    """

    def __init__(self, entries: Mapping[str, str], tip: str = "") -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        side = self.fontMetrics().ascent()
        for colour, text in entries.items():
            square = QLabel()
            square.setPixmap(_square(colour, side))
            row.addWidget(square)
            row.addWidget(QLabel(text))
            row.addSpacing(6)
        row.addStretch()
        self.setToolTip(tip)


def _square(colour: str, side: int) -> QPixmap:
    pixmap = QPixmap(side, side)
    pixmap.fill(QColor(colour))
    painter = QPainter(pixmap)
    painter.setPen(QColor(Qt.GlobalColor.gray))
    painter.drawRect(0, 0, side - 1, side - 1)
    painter.end()
    return pixmap
