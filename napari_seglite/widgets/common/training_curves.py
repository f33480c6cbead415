"""Loss and Dice of a training run, drawn while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from . import colours

try:
    import pyqtgraph
except ImportError:  # napari's plugin installer brings what the engine needs, and napari has Qt
    pyqtgraph = None

MISSING = "To see the curves, install pyqtgraph: pip install pyqtgraph"
TIP = (
    "Left axis, orange: loss, the error on the patches that are learnt, smoothed; it should fall. "
    "Right axis, blue: Dice, the overlap with your labels where nothing is learnt, 0 to 1; it "
    "should rise. Parts that are held out in turn have a line each"
)
# Lines of the parts that are held out in turn; the last run, or the only one, has a solid line.
DASHES = (Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
Point = tuple[float, float]


@dataclass
class _Part:
    """The curves of one run, with their items in the plot."""

    loss: list[Point] = field(default_factory=list)
    dice: list[Point] = field(default_factory=list)
    f1: list[Point] = field(default_factory=list)
    items: tuple[Any, Any, Any] | None = None


class TrainingCurves(QWidget):
    """Loss on the left axis, Dice and F1 of objects, 0 to 1, on the right, over training steps.

    Of a cross-validation, every part has curves of its own, which begin at step 0. The context
    menu is that of pyqtgraph; it saves the plot or its numbers. Without pyqtgraph the last numbers
    alone are shown, and what to install.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.parts: dict[str, _Part] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._plot: Any = None
        self._text = QLabel()
        self._text.setWordWrap(pyqtgraph is None)
        # A title of the plot would be as wide as its text, and push the right axis out of sight.
        column.addWidget(self._text)
        if pyqtgraph is not None:
            self._text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            column.addWidget(self._canvas(), 1)
        self.setToolTip(TIP)
        colours.follow(self, self._dress)

    def _canvas(self) -> Any:
        """Return the widget without curves."""
        canvas = pyqtgraph.PlotWidget(background=None)
        self.setMinimumHeight(130)
        self._plot = canvas.plotItem
        self._plot.hideButtons()
        # The wheel scrolls the panel; the axes follow the run.
        self._plot.setMouseEnabled(False, False)
        self._right = self._second_axis()
        self._legend = self._plot.addLegend(offset=(-4, -4), labelTextSize="8pt", verSpacing=-6)
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
        return view

    def sizeHint(self) -> QSize:
        """Return a size with room for two curves and their axes."""
        return QSize(260, 190) if self._plot is not None else super().sizeHint()

    # ------------------------------------------------------------------ the points
    @property
    def loss(self) -> list[Point]:
        """The smoothed losses of the latest part."""
        return self._latest.loss

    @property
    def dice(self) -> list[Point]:
        """The held-out Dice of the latest part."""
        return self._latest.dice

    @property
    def _latest(self) -> _Part:
        return next(reversed(self.parts.values()), _Part())

    def clear(self) -> None:
        """Remove all curves."""
        for part in self.parts.values():
            if part.items is not None:
                self._plot.removeItem(part.items[0])
                for item in part.items[1:]:
                    self._right.removeItem(item)
        self.parts = {}
        self._draw()
        self._dress()

    def show_curves(self, curves: Mapping[str, Sequence[Sequence[float]]]) -> None:
        """Show the curves of a finished run, as its checkpoint's card holds them."""
        self.clear()
        names = sorted({name.partition(", ")[2] for name in curves} - {""})
        for name in names:
            self._add_part(name, curves.get(f"loss, {name}", ()), curves.get(f"dice, {name}", ()))
        # The cards of earlier versions hold the first part and the last run in one.
        *first, loss = _rising(curves.get("loss", ()))
        dice = list(curves.get("dice", ()))
        if first:
            self._add_part("part 1", first[0], dice)
            dice = []
        last = ("best part" if dice else "all parts") if names or first else ""
        self._add_part(last, loss, dice, curves.get("f1", ()))
        self._draw()

    def _add_part(
        self,
        name: str,
        loss: Iterable[Sequence[float]],
        dice: Iterable[Sequence[float]],
        f1: Iterable[Sequence[float]] = (),
    ) -> None:
        part = self._part(name)
        part.f1 += [(step, value) for step, value in f1]
        part.dice += [(step, value) for step, value in dice]
        for step, value in loss:
            self._append_loss(part, step, value)

    def add_loss(self, step: float, value: float, part: str = "") -> None:
        """Add the loss of a batch, smoothed over earlier ones."""
        self._append_loss(self._part(part), step, value)
        self._draw()

    def add_dice(self, step: float, value: float, part: str = "", f1: float | None = None) -> None:
        """Add a held-out Dice and, if objects are learnt, their F1."""
        self._part(part).dice.append((step, value))
        if f1 is not None:
            self._part(part).f1.append((step, f1))
        self._draw()

    def _part(self, name: str) -> _Part:
        return self.parts.setdefault(name, _Part())

    @staticmethod
    def _append_loss(part: _Part, step: float, value: float) -> None:
        if part.loss:
            value = 0.8 * part.loss[-1][1] + 0.2 * value
        part.loss.append((step, value))

    # ------------------------------------------------------------------ the picture
    def _draw(self) -> None:
        if self._plot is not None:
            if any(part.items is None for part in self.parts.values()):
                self._dress()
            for part in self.parts.values():
                curves = part.loss, part.dice, part.f1
                for item, points in zip(self._items(part), curves, strict=True):
                    item.setData([x for x, _ in points], [y for _, y in points])
            highest = (y for part in self.parts.values() for _, y in part.loss)
            self._plot.setYRange(0, max(highest, default=1), padding=0.03)
        self._show_last()

    def _items(self, part: _Part) -> tuple[Any, Any, Any]:
        """Return the lines of a part, new ones the first time."""
        if part.items is None:
            loss = self._plot.plot(antialias=True)
            dice, f1 = (
                pyqtgraph.PlotDataItem(symbol=mark, symbolSize=5, symbolPen=None, antialias=True)
                for mark in ("o", "t")
            )
            for item in (dice, f1):
                self._right.addItem(item)
            part.items = loss, dice, f1
        return part.items

    def _dress(self) -> None:
        """Give lines, axes and legend the colours of the theme."""
        self._show_last()
        if self._plot is None:
            return
        loss, dice, grey = (colours.colour(role) for role in ("loss", "dice", "hint"))
        plot = self._plot
        for side, pen in (("left", loss), ("right", dice), ("bottom", grey)):
            plot.getAxis(side).setTextPen(pen)
            plot.getAxis(side).setPen(grey)
        self._legend.clear()
        self._legend.setLabelTextColor(grey)
        last = len(self.parts) - 1
        for number, (name, part) in enumerate(self.parts.items()):
            solid = not name or (number == last and not name.startswith("part"))
            style = Qt.PenStyle.SolidLine if solid else DASHES[number % len(DASHES)]
            items = self._items(part)
            for item, colour in zip(items, (loss, dice, dice), strict=True):
                item.setPen(pyqtgraph.mkPen(colour, width=2, style=style))
            for item in items[1:]:
                item.setSymbolBrush(dice)
            if len(self.parts) > 1:
                line = pyqtgraph.PlotDataItem(pen=pyqtgraph.mkPen(grey, width=2, style=style))
                self._legend.addItem(line, name)

    def _show_last(self) -> None:
        parts, latest = [], self._latest
        shown: tuple[tuple[str, colours.Role, list[Point]], ...] = (
            ("loss", "loss", latest.loss),
            # Short enough for the width of the dock.
            ("Dice" if latest.f1 else "held-out Dice", "dice", latest.dice),
            *((("F1 \N{BLACK UP-POINTING TRIANGLE}", "dice", latest.f1),) if latest.f1 else ()),
        )
        for name, role, points in shown:
            last = f" {points[-1][1]:.3f}" if points else ""
            parts.append(f'<span style="color: {colours.colour(role)}">{name}{last}</span>')
        if steps := max((x for x, _ in latest.loss + latest.dice), default=0):
            parts.append(f"step {steps:.0f}")
        numbers = "&nbsp;&nbsp;&nbsp;".join(parts)
        self._text.setText(numbers if self._plot is not None else f"{numbers}<br>{MISSING}")


def _rising(points: Iterable[Sequence[float]]) -> Iterable[list[Point]]:
    """Return the stretches of a curve whose steps rise, at least one."""
    stretch: list[Point] = []
    for step, value in points:
        if stretch and step < stretch[-1][0]:
            yield stretch
            stretch = []
        stretch.append((step, value))
    yield stretch
