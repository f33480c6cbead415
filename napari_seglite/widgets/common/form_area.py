"""Rows that scroll, so that what is below them stays in view."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QScrollArea, QSizePolicy, QWidget

# Lines of text that stay in view in the lowest window, and pixels beside the scroll bar.
_LINES, _GAP = 6, 4


class FormArea(QScrollArea):
    """Shows a form as high as its rows where there is room for them, and else scrolls it.

    Give it the largest stretch factor of its layout.

    Parameters
    ----------
    form : QWidget
        With a layout.
    """

    def __init__(self, form: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setWidget(form)
        bar = self.verticalScrollBar()
        assert bar is not None
        self._bar = bar
        bar.rangeChanged.connect(
            lambda _, largest: self.setViewportMargins(0, 0, _GAP if largest else 0, 0)
        )

    def sizeHint(self) -> QSize:
        """Return the width of the form and the least height: a layout would insist on more."""
        return self.minimumSizeHint()

    def minimumSizeHint(self) -> QSize:
        """Return the width of the form and a height of a few lines."""
        form = self.widget()
        width = 0 if form is None else form.minimumSizeHint().width()
        width += self._bar.sizeHint().width() + _GAP
        return QSize(width, _LINES * self.fontMetrics().lineSpacing())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Follow the width, on which the height of wrapped texts depends."""
        super().resizeEvent(event)
        self._limit()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the rows of the form."""
        seen = bool(super().eventFilter(watched, event))
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self._limit()
        return seen

    def _limit(self) -> None:
        """Grow no higher than the rows are."""
        form, viewport = self.widget(), self.viewport()
        if form is None or viewport is None:
            return
        frame = self.height() - viewport.height()  # napari's themes draw one
        height = form.heightForWidth(self.width() - frame)
        self.setMaximumHeight(frame + (height if height > 0 else form.sizeHint().height()))
