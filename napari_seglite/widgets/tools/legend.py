"""What the colours of an overlay mean."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPainter, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget


class Legend(QWidget):
    """Coloured squares in two columns, each with what it stands for.

    Parameters
    ----------
    entries : mapping
        Meaning by colour; a transparent colour gets an empty square.
    tip : str
        Shown under the pointer.
    """

    def __init__(self, entries: Mapping[str, str], tip: str = "") -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        side = self.fontMetrics().ascent()
        for number, (colour, text) in enumerate(entries.items()):
            square = QLabel()
            square.setPixmap(_square(colour, side))
            row, column = divmod(number, 2)
            grid.addWidget(square, row, 2 * column)
            grid.addWidget(QLabel(text), row, 2 * column + 1)
        self.setToolTip(tip)


def _square(colour: str, side: int) -> QPixmap:
    pixmap = QPixmap(side, side)
    pixmap.fill(QColor(colour))
    painter = QPainter(pixmap)
    painter.setPen(QColor(Qt.GlobalColor.gray))
    painter.drawRect(0, 0, side - 1, side - 1)
    painter.end()
    return pixmap
