"""The row for classes: which one the brush paints, their names and colours."""

from __future__ import annotations

from dataclasses import replace

from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAction,
    QColorDialog,
    QHBoxLayout,
    QInputDialog,
    QMenu,
    QPushButton,
    QWidget,
)

from ...annotation import ClassList
from ..common import forms

# Colour of labels that belong to no class.
UNKNOWN = "#ff00ff"


class ClassRow(QWidget):
    """A list of classes to paint with, and a menu to change them.

    Signals
    -------
    chosen(int)
        The label to paint with.
    edited(ClassList)
        Classes were added or removed, or names or colours changed.
    """

    chosen = Signal(int)
    edited = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.class_list, self._scribble = ClassList(), False
        self.box = forms.combo(tip="The class that the brush paints")
        self.menu_button = QPushButton("Change")
        self.menu_button.setToolTip("Add, name, colour and remove classes")
        menu = QMenu(self.menu_button)
        for title, act in (
            ("Add class …", self._ask_new),
            ("Rename …", self._ask_name),
            ("Colour …", self._ask_colour),
            ("Remove last class", self.remove_last),
        ):
            action = QAction(title, menu)
            action.triggered.connect(lambda _=False, act=act: act())
            menu.addAction(action)
        self.menu_button.setMenu(menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(self.menu_button)
        self.box.activated.connect(lambda _: self.chosen.emit(self.label))
        self._fill()

    # ------------------------------------------------------------------ the list
    @property
    def label(self) -> int:
        """The label to paint the selected class with."""
        return int(self.box.currentData())

    @property
    def number(self) -> int:
        """The number of the selected class; 0 is the background."""
        return self.label - self._scribble

    def show_classes(self, class_list: ClassList, scribble: bool) -> None:
        """List the classes; for scribbles, the background too."""
        if (class_list, scribble) != (self.class_list, self._scribble):
            self.class_list, self._scribble = class_list, scribble
            self._fill()

    def select(self, label: int) -> None:
        """Select the class of a label, if it has one."""
        forms.select(self.box, label)

    def _fill(self) -> None:
        before = self.box.currentText()
        self.box.clear()
        for number, name in enumerate(self.class_list.class_names):
            if number or self._scribble:
                self.box.addItem(self._swatch(number), name, number + self._scribble)
        first = self.box.findText(before)
        self.box.setCurrentIndex(first if first >= 0 else int(self._scribble))

    def _swatch(self, number: int) -> QIcon:
        """Return an icon in the colour of a class; empty if every object has its own colour."""
        if not stand_for_classes(self.class_list, self._scribble):
            return QIcon()
        swatch = QPixmap(12, 12)
        swatch.fill(QColor(self.class_list.colour(number)))
        return QIcon(swatch)

    # ------------------------------------------------------------------ changes
    def add(self, name: str) -> None:
        """Add a class and select it."""
        if name := name.strip():
            names = (*self.class_list.class_names, name)
            self._change(replace(self.class_list, class_names=names))
            self.box.setCurrentIndex(self.box.count() - 1)
            self.chosen.emit(self.label)

    def rename(self, name: str) -> None:
        """Rename the selected class."""
        if name := name.strip():
            names = list(self.class_list.class_names)
            names[self.number] = name
            index = self.box.currentIndex()
            self._change(replace(self.class_list, class_names=tuple(names)))
            self.box.setCurrentIndex(index)

    def recolour(self, colour: str) -> None:
        """Give the selected class a colour, such as ``"#56b4e9"``."""
        colours = [self.class_list.colour(k) for k in range(len(self.class_list.class_names))]
        colours[self.number] = colour
        self._change(replace(self.class_list, class_colours=tuple(colours)))

    def remove_last(self) -> None:
        """Remove the last class unless it is the only one; its labels stay."""
        if len(self.class_list.class_names) > 2:
            names = self.class_list.class_names[:-1]
            colours = self.class_list.class_colours[: len(names)]
            self._change(replace(self.class_list, class_names=names, class_colours=colours))
            self.chosen.emit(self.label)

    def _change(self, class_list: ClassList) -> None:
        self.show_classes(class_list, self._scribble)
        self.edited.emit(class_list)

    def _ask_new(self) -> None:
        name, accepted = QInputDialog.getText(self, "Add class", "Name:")
        if accepted:
            self.add(name)

    def _ask_name(self) -> None:
        before = self.box.currentText()
        name, accepted = QInputDialog.getText(self, "Rename class", "Name:", text=before)
        if accepted:
            self.rename(name)

    def _ask_colour(self) -> None:
        colour = QColorDialog.getColor(QColor(self.class_list.colour(self.number)), self)
        if colour.isValid():
            self.recolour(colour.name())


def stand_for_classes(class_list: ClassList, scribble: bool) -> bool:
    """Whether labels are numbers of classes; with a single class they may be objects."""
    return scribble or len(class_list.class_names) > 2


def colours_of(class_list: ClassList, scribble: bool) -> DirectLabelColormap:
    """Return the colours of labels that stand for classes."""
    numbers = range(0 if scribble else 1, len(class_list.class_names))
    colours: dict[int | None, str] = {0: "transparent", None: UNKNOWN}
    colours |= {number + scribble: class_list.colour(number) for number in numbers}
    return DirectLabelColormap(color_dict=colours)
