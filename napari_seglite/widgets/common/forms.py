"""The pieces that forms are made of: rows, lists to choose from, buttons side by side, trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import Qt
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QTreeWidget,
    QWidget,
)

from . import colours

if TYPE_CHECKING:
    from napari.components import ViewerModel


def form_layout(parent: QWidget | None = None) -> QFormLayout:
    """Return rows whose fields are as wide as the panel, on every platform."""
    form = QFormLayout() if parent is None else QFormLayout(parent)
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def combo(entries: Mapping[Any, str] | None = None, tip: str = "") -> QComboBox:
    """Return a list to choose from that a long entry does not widen.

    Parameters
    ----------
    entries : mapping, optional
        Texts by the values that ``currentData()`` returns.
    tip : str
        Shown under the pointer.
    """
    box = NarrowComboBox()
    box.setToolTip(tip)
    for value, text in (entries or {}).items():
        box.addItem(text, value)
    return box


def keep_narrow(box: QComboBox) -> None:
    """Let a long entry not widen the dock; in the open list, its middle is cut."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    view = box.view()
    assert view is not None
    view.setTextElideMode(Qt.TextElideMode.ElideMiddle)


class NarrowComboBox(QComboBox):
    """A list to choose from that shows its entry with the middle cut: names differ at their end."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        keep_narrow(self)

    @property
    def shown_text(self) -> str:
        """The chosen entry as it is drawn."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        style = self.style()
        assert style is not None
        room = style.subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self,
        )
        return elided(self.currentText(), self, room.width() - 4)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the frame, and the entry with its middle cut."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = self.shown_text
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def elided(text: str, widget: QWidget, width: int) -> str:
    """Return a text with its middle cut, so that it fits into some pixels."""
    return str(widget.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, width))


def select(box: QComboBox, value: Any) -> bool:
    """Select the entry with a value; returns whether there is one."""
    index = box.findData(value)
    if index >= 0:
        box.setCurrentIndex(index)
    return bool(index >= 0)


def layer_box(viewer: ViewerModel, kind: type, optional: bool = False, tip: str = "") -> ComboBox:
    """Return a list of a viewer's layers of a kind.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are listed, wherever the box is: napari's own lists show those of the current
        viewer once their window is closed.
    kind : type
        `Image` or `Labels`.
    optional : bool
        Whether no layer can be chosen, too.
    tip : str
        Shown under the pointer.
    """
    box = ComboBox(
        choices=lambda _: [layer for layer in viewer.layers if isinstance(layer, kind)],
        nullable=optional,
    )
    keep_narrow(box.native)
    box.native.setToolTip(tip)
    return box


def side_by_side(*widgets: QWidget, stretches: Sequence[int] = ()) -> QHBoxLayout:
    """Return a row of widgets, as wide as their stretch factors say."""
    row = QHBoxLayout()
    for number, widget in enumerate(widgets):
        row.addWidget(widget, stretches[number] if number < len(stretches) else 0)
    return row


def show_columns(tree: QTreeWidget, *titles: str) -> None:
    """Name the columns of a tree; the first takes the width that the others leave."""
    tree.setHeaderLabels(list(titles))
    tree.setUniformRowHeights(True)
    tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    colours.follow_items(tree)
    header = tree.header()
    assert header is not None
    header.setStretchLastSection(False)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    for number in range(1, len(titles)):
        header.setSectionResizeMode(number, QHeaderView.ResizeMode.ResizeToContents)
