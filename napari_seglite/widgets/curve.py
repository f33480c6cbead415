"""Loss and Dice of a training run, drawn as it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

LOSS, DICE = QColor("#f0a35e"), QColor("#5ec8f0")
LEFT, RIGHT, TOP, BOTTOM = 34, 34, 22, 20


class TrainingCurve(QWidget):
    """Loss on the left axis and Dice, 0 to 1, on the right, over training steps."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loss: list[tuple[float, float]] = []
        self.dice: list[tuple[float, float]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(110)

    def sizeHint(self) -> QSize:
        """Leave room for two curves and their legend."""
        return QSize(260, 180)

    def clear(self) -> None:
        """Begin a new run."""
        self.loss, self.dice = [], []
        self.update()

    def show_curves(self, curves: Mapping[str, Sequence[Sequence[float]]]) -> None:
        """Show a run that is over, as a checkpoint's card keeps it."""
        self.clear()
        for step, value in curves.get("loss", ()):
            self.add_loss(int(step), value)
        self.dice = [(int(step), value) for step, value in curves.get("dice", ())]
        self.update()

    def add_loss(self, step: int, value: float) -> None:
        """Add a point, smoothed: the loss of a single batch says little."""
        if self.loss:
            value = 0.8 * self.loss[-1][1] + 0.2 * value
        self.loss.append((step, value))
        self.update()

    def add_dice(self, step: int, value: float) -> None:
        """Add a validation score."""
        self.dice.append((step, value))
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw axes, both curves, and the last values as a legend."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(LEFT, TOP, self.width() - LEFT - RIGHT, self.height() - TOP - BOTTOM)
        grey = self.palette().text().color()
        grey.setAlpha(90)
        painter.setPen(QPen(grey, 1))
        painter.drawRect(area)
        steps = max([1.0] + [x for x, _ in self.loss + self.dice])
        top = max([0.1] + [y for _, y in self.loss]) * 1.05
        self._legend(painter, area, steps, top)
        for points, highest, colour in ((self.loss, top, LOSS), (self.dice, 1.0, DICE)):
            line = QPolygonF(
                [
                    QPointF(
                        area.left() + x / steps * area.width(),
                        area.bottom() - y / highest * area.height(),
                    )
                    for x, y in points
                ]
            )
            painter.setPen(QPen(colour, 2))
            painter.drawPolyline(line)
            if points is self.dice:
                painter.setBrush(colour)
                for k in range(line.count()):
                    painter.drawEllipse(line.at(k), 2.5, 2.5)

    def _legend(self, painter: QPainter, area: QRectF, steps: float, top: float) -> None:
        text = self.palette().text().color()
        font = painter.font()
        font.setPointSizeF(max(7.0, font.pointSizeF() * 0.8))
        painter.setFont(font)
        left, right = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
        header = QRectF(area.left(), 0, area.width(), TOP)
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.setPen(LOSS)
        painter.drawText(
            header, left | middle, "loss" + (f" {self.loss[-1][1]:.3f}" if self.loss else "")
        )
        painter.setPen(DICE)
        painter.drawText(
            header, right | middle, "Dice" + (f" {self.dice[-1][1]:.3f}" if self.dice else "")
        )
        painter.setPen(text)
        painter.drawText(QRectF(0, area.top() - 8, LEFT - 4, 16), right | middle, f"{top:.1f}")
        painter.drawText(QRectF(0, area.bottom() - 8, LEFT - 4, 16), right | middle, "0")
        painter.drawText(QRectF(area.right() + 4, area.top() - 8, RIGHT, 16), left | middle, "1")
        painter.drawText(QRectF(area.right() + 4, area.bottom() - 8, RIGHT, 16), left | middle, "0")
        footer = QRectF(area.left(), area.bottom() + 2, area.width(), BOTTOM - 2)
        painter.drawText(footer, right | middle, f"step {int(steps)}")
