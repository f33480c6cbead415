"""The classes that are painted: which one the brush has, their names and colours."""

from __future__ import annotations

from dataclasses import replace

from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAction,
    QColorDialog,
    QComboBox,
    QHBoxLayout,
    QInputDialog,
    QMenu,
    QPushButton,
    QWidget,
)

from ...annotation import ClassList

# Labels that belong to no class.
STRANGE = "#ff00ff"


class ClassRow(QWidget):
    """A list of classes to paint with, and a menu to change them.

    Signals
    -------
    chosen(int)
        The label to paint with.
    edited(Description)
        Names or colours were changed.
    """

    chosen = Signal(int)
    edited = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.about, self._scribble = ClassList(), False
        self.box = QComboBox()
        self.box.setToolTip("What the brush paints")
        self.menu_button = QPushButton("Change")
        self.menu_button.setToolTip("Add classes, name them, give them colours")
        menu = QMenu(self.menu_button)
        for title, act in (
            ("Add a class …", self._ask_new),
            ("Rename …", self._ask_name),
            ("Colour …", self._ask_colour),
            ("Remove the last", self.remove_last),
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

    # ------------------------------------------------------------------ what is shown
    @property
    def label(self) -> int:
        """The label to paint the selected class with."""
        return int(self.box.currentData())

    @property
    def number(self) -> int:
        """The number of the selected class; 0 is the background."""
        return self.label - self._scribble

    def show_classes(self, about: ClassList, scribble: bool) -> None:
        """List the classes; of scribbles, the background among them."""
        if (about, scribble) != (self.about, self._scribble):
            self.about, self._scribble = about, scribble
            self._fill()

    def select(self, label: int) -> None:
        """Select what a label stands for, if it does for any."""
        if (index := self.box.findData(label)) >= 0:
            self.box.setCurrentIndex(index)

    def _fill(self) -> None:
        before = self.box.currentText()
        self.box.clear()
        for number, name in enumerate(self.about.class_names):
            if number or self._scribble:
                self.box.addItem(self._swatch(number), name, number + self._scribble)
        first = self.box.findText(before)
        self.box.setCurrentIndex(first if first >= 0 else int(self._scribble))

    def _swatch(self, number: int) -> QIcon:
        """Return the colour of a class; objects of a single one have a colour each."""
        if not stand_for_classes(self.about, self._scribble):
            return QIcon()
        swatch = QPixmap(12, 12)
        swatch.fill(QColor(self.about.colour(number)))
        return QIcon(swatch)

    # ------------------------------------------------------------------ changes
    def add(self, name: str) -> None:
        """Add a class and select it."""
        if name := name.strip():
            names = (*self.about.class_names, name)
            self._change(replace(self.about, class_names=names))
            self.box.setCurrentIndex(self.box.count() - 1)
            self.chosen.emit(self.label)

    def rename(self, name: str) -> None:
        """Give the selected class a name."""
        if name := name.strip():
            names = list(self.about.class_names)
            names[self.number] = name
            index = self.box.currentIndex()
            self._change(replace(self.about, class_names=tuple(names)))
            self.box.setCurrentIndex(index)

    def recolour(self, colour: str) -> None:
        """Give the selected class a colour, such as ``"#56b4e9"``."""
        colours = [self.about.colour(k) for k in range(len(self.about.class_names))]
        colours[self.number] = colour
        self._change(replace(self.about, class_colours=tuple(colours)))

    def remove_last(self) -> None:
        """Take the last class off the list, unless it is the only one; its labels stay."""
        if len(self.about.class_names) > 2:
            names = self.about.class_names[:-1]
            colours = self.about.class_colours[: len(names)]
            self._change(replace(self.about, class_names=names, class_colours=colours))
            self.chosen.emit(self.label)

    def _change(self, about: ClassList) -> None:
        self.show_classes(about, self._scribble)
        self.edited.emit(about)

    def _ask_new(self) -> None:
        name, agreed = QInputDialog.getText(self, "Add a class", "Its name:")
        if agreed:
            self.add(name)

    def _ask_name(self) -> None:
        before = self.box.currentText()
        name, agreed = QInputDialog.getText(self, "Rename a class", "Its name:", text=before)
        if agreed:
            self.rename(name)

    def _ask_colour(self) -> None:
        colour = QColorDialog.getColor(QColor(self.about.colour(self.number)), self)
        if colour.isValid():
            self.recolour(colour.name())


def stand_for_classes(about: ClassList, scribble: bool) -> bool:
    """Whether labels are numbers of classes; those of a single class may be objects."""
    return scribble or len(about.class_names) > 2


def colours_of(about: ClassList, scribble: bool) -> DirectLabelColormap:
    """Return the colours of labels that stand for classes."""
    numbers = range(0 if scribble else 1, len(about.class_names))
    colours: dict[int | None, str] = {0: "transparent", None: STRANGE}
    colours |= {number + scribble: about.colour(number) for number in numbers}
    return DirectLabelColormap(color_dict=colours)
