"""The colours of texts and curves: one value for dark themes of napari, one for light ones.

Every colour has a contrast of at least 4.5 to 1 against the theme's backgrounds. What is drawn over
images, such as outlines, has colours of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QTreeWidget, QTreeWidgetItem, QWidget


class Pair(NamedTuple):
    """A colour for dark and one for light themes."""

    dark: str
    light: str


Role = Literal["hint", "error", "corrected", "accepted", "predicted", "loss", "dice"]
ROLES: dict[Role, Pair] = {
    "hint": Pair("#a6afba", "#515862"),
    "error": Pair("#ff8585", "#a8001c"),
    "corrected": Pair("#f0a35e", "#7f4500"),
    "accepted": Pair("#7fd68a", "#17592a"),
    "predicted": Pair("#a6afba", "#515862"),
    "loss": Pair("#f0a35e", "#7f4500"),
    "dice": Pair("#5ec8f0", "#00557a"),
}
# Where a row of a tree keeps the roles of its columns.
_ROLE = Qt.ItemDataRole.UserRole + 40


def colour(role: Role) -> str:
    """Return a colour as ``"#rrggbb"`` that suits napari's current theme."""
    pair = ROLES[role]
    return pair.dark if is_dark() else pair.light


def is_dark() -> bool:
    """Whether texts are light on a dark background."""
    background = get_theme(get_settings().appearance.theme).background
    return QColor(background.as_hex()).lightnessF() < 0.5


class _Follower(QObject):
    """Calls a function whenever napari's theme changes, as long as its widget lives."""

    def __init__(self, widget: QWidget, apply: Callable[[], None]) -> None:
        super().__init__(widget)
        self._apply = apply
        self._emitter = emitter = get_settings().appearance.events.theme
        emitter.connect(self._on_theme)
        # Not `self`, which is gone by then.
        widget.destroyed.connect(lambda _=None, changed=self._on_theme: emitter.disconnect(changed))

    def _on_theme(self, _: object = None) -> None:
        self._apply()


def follow(widget: QWidget, apply: Callable[[], None]) -> None:
    """Call a function now, and whenever napari's theme changes while a widget lives."""
    apply()
    _Follower(widget, apply)


def tint(widget: QWidget, role: Role | None) -> None:
    """Let a widget's text have a colour of the theme, also of a later one; None for the usual one.

    Parameters
    ----------
    widget : QWidget
        Such as a label.
    role : str or None
        What its text says, see `ROLES`.
    """
    new = widget.property("seglite_role") is None
    widget.setProperty("seglite_role", role or "")
    if new:
        follow(widget, lambda: _show_role(widget))
    else:
        _show_role(widget)


def _show_role(widget: QWidget) -> None:
    role = widget.property("seglite_role")
    widget.setStyleSheet(f"color: {colour(role)}" if role else "")


def tint_item(item: QTreeWidgetItem, column: int, role: Role) -> None:
    """Let a cell of a tree have a colour of the theme; `forms.show_columns` lets it follow."""
    item.setData(column, _ROLE, role)
    item.setForeground(column, QBrush(QColor(colour(role))))


def follow_items(tree: QTreeWidget) -> None:
    """Let the cells that `tint_item` coloured follow napari's theme."""
    follow(tree, lambda: _tint_items(tree))


def _tint_items(tree: QTreeWidget) -> None:
    rows = [tree.topLevelItem(number) for number in range(tree.topLevelItemCount())]
    while rows:
        if (item := rows.pop()) is None:
            continue
        rows += [item.child(number) for number in range(item.childCount())]
        for column in range(tree.columnCount()):
            if role := item.data(column, _ROLE):
                tint_item(item, column, role)
