"""The panel of checkpoints: where each comes from, how it did, and what to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QHeaderView,
    QInputDialog,
    QLabel,
    QMessageBox,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...checkpoints import CheckpointInfo, CheckpointStore
from ...errors import SegliteError
from ..common import ERROR_STYLE, TrainingCurves, describe


class ModelsPanel(QWidget):
    """A tree of checkpoints, children under the one they were fine-tuned from.

    Signals
    -------
    chosen(str)
        The id of a checkpoint to work with.
    changed()
        Checkpoints came, went or changed their names.
    """

    chosen = Signal(str)
    changed = Signal()

    def __init__(self, store: CheckpointStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.store = store
        self._build()
        self.refresh()

    def _build(self) -> None:
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(["Checkpoint", "Dice", "When"])
        self.tree.setUniformRowHeights(True)
        self.tree.setIndentation(14)
        header = self.tree.header()
        assert header is not None
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.about.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.about.setMinimumHeight(4 * self.about.fontMetrics().lineSpacing())
        self.curve = TrainingCurves()
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        for number, (name, title, hint, act) in enumerate(
            (
                ("use", "Use", "Segment and fine-tune with this one", self.use),
                ("rename", "Rename …", "Its children follow", self.rename),
                ("note", "Note …", "What you want to remember about it", self.note),
                ("delete", "Delete …", "Its children stay", self.delete),
                ("export", "Export …", "A file to take to another computer", self.export),
                ("import", "Import …", "A file that Export wrote", self.add),
            )
        ):
            button = self.buttons[name] = QPushButton(title)
            button.setToolTip(hint)
            button.clicked.connect(lambda _=False, act=act: act())
            grid.addWidget(button, number // 3, number % 3)
        column = QVBoxLayout(self)
        column.addWidget(self.tree, 2)
        column.addLayout(grid)
        column.addWidget(self.about)
        column.addWidget(self.curve, 1)
        self.tree.currentItemChanged.connect(self._on_selected)
        self.tree.itemDoubleClicked.connect(lambda *_: self.use())

    # ------------------------------------------------------------------ the tree
    @property
    def selected(self) -> str:
        """The id of the selected checkpoint, or an empty string."""
        item = self.tree.currentItem()
        return "" if item is None else str(item.data(0, Qt.ItemDataRole.UserRole))

    def refresh(self, select: str = "") -> None:
        """Read the checkpoints again."""
        wanted = select or self.selected
        self.tree.clear()
        infos = self.store.list()
        items: dict[str, QTreeWidgetItem] = {}
        for info in _parents_first(infos):
            item = items[info.id] = QTreeWidgetItem([info.id, dice(info), info.created[5:10]])
            item.setData(0, Qt.ItemDataRole.UserRole, info.id)
            item.setToolTip(0, describe(info) + (f"\n{info.note}" if info.note else ""))
            above = items.get(info.parent or "")
            if above is None:
                self.tree.addTopLevelItem(item)
            else:
                above.addChild(item)
        self.tree.expandAll()
        shown = items.get(wanted) or next(iter(items.values()), None)
        if shown is not None:
            self.tree.setCurrentItem(shown)
        self._on_selected()

    def _on_selected(self, *_: Any) -> None:
        name = self.selected
        own = bool(name) and not self.store.is_built_in(name)
        for button in ("rename", "note", "delete"):
            self.buttons[button].setEnabled(own)
        for button in ("use", "export"):
            self.buttons[button].setEnabled(bool(name))
        self.curve.clear()
        if not name:
            self.say("Every checkpoint of this computer, the finer ones under their parents.")
            return
        info = self.store.info(name)
        self.say(about(info))
        self.curve.show_curves(info.curves)

    def say(self, text: str, error: bool = False) -> None:
        """Show something under the buttons."""
        self.about.setText(text)
        self.about.setStyleSheet(ERROR_STYLE if error else "")

    # ------------------------------------------------------------------ what the buttons do
    def use(self) -> None:
        """Work with the selected checkpoint."""
        if self.selected:
            self.chosen.emit(self.selected)

    def rename(self) -> None:
        """Ask for another name."""
        new, ok = QInputDialog.getText(self, "Rename", "New name", text=self.selected)
        if ok and new != self.selected:
            self._try(lambda: self.store.rename(self.selected, new.strip()), new.strip())

    def note(self) -> None:
        """Ask for a note."""
        before = self.store.info(self.selected).note
        note, ok = QInputDialog.getMultiLineText(self, "Note", f"About {self.selected}", before)
        if ok:
            self._try(lambda: self.store.annotate(self.selected, note.strip()), self.selected)

    def delete(self) -> None:
        """Delete the selected checkpoint, after asking."""
        question = f"Delete {self.selected}? This cannot be undone."
        if QMessageBox.question(self, "SegLite", question) == QMessageBox.StandardButton.Yes:
            self._try(lambda: self.store.delete(self.selected))

    def export(self) -> None:
        """Write the selected checkpoint into a file."""
        path, _ = QFileDialog.getSaveFileName(
            self, "Export", f"{self.selected}.zip", "Checkpoints (*.zip)"
        )
        if path:
            self._try(lambda: self.store.export(self.selected, Path(path)), self.selected)

    def add(self) -> None:
        """Read a checkpoint from a file."""
        path, _ = QFileDialog.getOpenFileName(self, "Import", "", "Checkpoints (*.zip)")
        if path:
            self._try(lambda: self.store.add(Path(path)))

    def _try(self, act: Any, select: str = "") -> None:
        try:
            act()
        except (SegliteError, OSError) as error:
            self.say(str(error), error=True)
            return
        self.refresh(select)
        self.changed.emit()


def _parents_first(infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    """Return checkpoints so that nobody comes before its parent."""
    known = {info.id for info in infos}
    left = list(infos)
    found: list[CheckpointInfo] = []
    while left:
        placed = {info.id for info in found}
        ready = [i for i in left if i.parent not in known or i.parent in placed]
        # Renamed by hand, two could be each other's parents.
        ready = ready or left
        found += ready
        left = [info for info in left if info not in ready]
    return found


def dice(info: CheckpointInfo) -> str:
    """Return a checkpoint's score in a few characters: before and after, or the one there is."""
    scores = info.scores
    if "validation_dice" in scores and info.parent:
        return f"{scores['validation_dice_before']:.2f} → {scores['validation_dice']:.2f}"
    value = scores.get("test_dice", scores.get("validation_dice"))
    return "" if value is None else f"{value:.2f}"


def about(info: CheckpointInfo) -> str:
    """Say in a few sentences what a checkpoint is and where it comes from."""
    lines = [describe(info)]
    settings = info.settings
    if "frames" in settings:
        learnt = f"Learnt from {len(settings['frames'])} frames"
        steps = f"in {settings.get('steps_done', 0)} steps, {settings.get('seconds', 0):.0f} s"
        lines.append(f"{learnt} {steps}, seed {settings.get('seed', 0)}.")
    if info.note:
        lines.append(info.note)
    return "\n".join(lines)
