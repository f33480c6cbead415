"""Loss and Dice of a training run, drawn while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

try:
    import pyqtgraph
except ImportError:  # napari's plugin installer brings what the engine needs, and napari has Qt
    pyqtgraph = None

MISSING = "To see the curves, install pyqtgraph: pip install pyqtgraph"
LOSS, DICE = "#f0a35e", "#5ec8f0"


class TrainingCurves(QWidget):
    """Loss on the left axis and Dice, 0 to 1, on the right, over training steps.

    The context menu is that of pyqtgraph; it saves the plot or its numbers. Without pyqtgraph the
    last numbers alone are shown, and what to install.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loss: list[tuple[float, float]] = []
        self.dice: list[tuple[float, float]] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._plot: Any = None
        self._text = QLabel()
        self._text.setWordWrap(True)
        if pyqtgraph is None:
            column.addWidget(self._text)
        else:
            column.addWidget(self._canvas())
        self._show_last()

    def _canvas(self) -> Any:
        """Return the widget with both curves, still without points."""
        canvas = pyqtgraph.PlotWidget(background=None)
        self.setMinimumHeight(130)
        self._plot = canvas.plotItem
        self._plot.hideButtons()
        # The wheel scrolls the panel; the axes follow the run.
        self._plot.setMouseEnabled(False, False)
        self._loss = self._plot.plot(pen=pyqtgraph.mkPen(LOSS, width=2), antialias=True)
        self._dice = pyqtgraph.PlotDataItem(
            pen=pyqtgraph.mkPen(DICE, width=2),
            symbol="o",
            symbolSize=5,
            symbolBrush=DICE,
            symbolPen=None,
            antialias=True,
        )
        self._second_axis().addItem(self._dice)
        return canvas

    def _second_axis(self) -> Any:
        """Return a view over the same steps with its own vertical scale."""
        view = pyqtgraph.ViewBox(enableMenu=False)
        view.setMouseEnabled(False, False)
        plot = self._plot
        plot.showAxis("right")
        plot.scene().addItem(view)
        plot.getAxis("right").linkToView(view)
        view.setXLink(plot)
        view.setYRange(0, 1, padding=0.03)
        plot.vb.sigResized.connect(lambda box: view.setGeometry(box.sceneBoundingRect()))
        plot.setLimits(xMin=0, yMin=0, minXRange=10)
        plot.getAxis("left").setTextPen(LOSS)
        plot.getAxis("right").setTextPen(DICE)
        return view

    def sizeHint(self) -> QSize:
        """Return a size with room for two curves and their axes."""
        return QSize(260, 190) if self._plot is not None else super().sizeHint()

    def clear(self) -> None:
        """Remove both curves."""
        self.loss, self.dice = [], []
        self._draw()

    def show_curves(self, curves: Mapping[str, Sequence[Sequence[float]]]) -> None:
        """Show the curves of a finished run, as its checkpoint's card holds them."""
        self.loss, self.dice = [], [(step, value) for step, value in curves.get("dice", ())]
        for step, value in curves.get("loss", ()):
            self._append_loss(step, value)
        self._draw()

    def add_loss(self, step: float, value: float) -> None:
        """Add the loss of a batch, smoothed over earlier ones."""
        self._append_loss(step, value)
        self._draw()

    def add_dice(self, step: float, value: float) -> None:
        """Add a held-out Dice."""
        self.dice.append((step, value))
        self._draw()

    def _append_loss(self, step: float, value: float) -> None:
        if self.loss:
            value = 0.8 * self.loss[-1][1] + 0.2 * value
        self.loss.append((step, value))

    def _draw(self) -> None:
        if self._plot is not None:
            for item, points in ((self._loss, self.loss), (self._dice, self.dice)):
                item.setData([x for x, _ in points], [y for _, y in points])
            self._plot.setYRange(0, max((y for _, y in self.loss), default=1), padding=0.03)
        self._show_last()

    def _show_last(self) -> None:
        parts = []
        for name, colour, points in (("loss", LOSS, self.loss), ("Dice", DICE, self.dice)):
            last = f" {points[-1][1]:.3f}" if points else ""
            parts.append(f'<span style="color: {colour}">{name}{last}</span>')
        if steps := max((x for x, _ in self.loss + self.dice), default=0):
            parts.append(f"step {steps:.0f}")
        numbers = "&nbsp;&nbsp;&nbsp;".join(parts)
        if self._plot is not None:
            self._plot.setTitle(numbers, size="9pt")
        else:
            self._text.setText(f"{numbers}<br>{MISSING}")
