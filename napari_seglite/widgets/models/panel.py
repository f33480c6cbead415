"""The panel of checkpoints: their origin, scores and training curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QInputDialog,
    QMessageBox,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...checkpoints import CheckpointInfo, CheckpointStore
from ...errors import SegliteError
from ..common import StatusLabel, TrainingCurves, describe_checkpoint, forms


class ModelsPanel(QWidget):
    """Lists checkpoints as a tree, each under the one it was fine-tuned from.

    Parameters
    ----------
    store : CheckpointStore
        Shared by the panels.

    Signals
    -------
    chosen(str)
        The id of a checkpoint to work with.
    changed()
        Checkpoints were added, deleted, renamed or annotated.
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
        forms.show_columns(self.tree, "Checkpoint", "Dice", "Date")
        self.tree.setIndentation(14)
        self.status = StatusLabel(lines=4)
        self.curve = TrainingCurves()
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        for number, (name, title, tip, act) in enumerate(
            (
                ("use", "Use", "Select this checkpoint for segmenting and fine-tuning", self.use),
                ("rename", "Rename …", "Checkpoints fine-tuned from it stay under it", self.rename),
                ("note", "Note …", "Write a note about this checkpoint", self.note),
                ("delete", "Delete …", "Checkpoints fine-tuned from it stay", self.delete),
                ("export", "Export …", "Write a file to open on another computer", self.export),
                ("import", "Import …", "Read a file that Export wrote", self.add),
            )
        ):
            button = self.buttons[name] = QPushButton(title)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, act=act: act())
            grid.addWidget(button, number // 3, number % 3)
        column = QVBoxLayout(self)
        column.addWidget(self.tree, 2)
        column.addLayout(grid)
        column.addWidget(self.status)
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
            item.setToolTip(0, describe_checkpoint(info) + (f"\n{info.note}" if info.note else ""))
            above = items.get(info.parent or "")
            if above is None:
                self.tree.addTopLevelItem(item)
            else:
                above.addChild(item)
        self.tree.expandAll()
        current = items.get(wanted) or next(iter(items.values()), None)
        if current is not None:
            self.tree.setCurrentItem(current)
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
            self.say("Fine-tuned checkpoints are listed under the one they started from.")
            return
        info = self.store.info(name)
        self.say(summary(info))
        self.curve.show_curves(info.curves)

    def say(self, text: str, error: bool = False) -> None:
        """Show a sentence under the buttons, errors in red."""
        self.status.say(text, error)

    # ------------------------------------------------------------------ the buttons
    def use(self) -> None:
        """Select this checkpoint in the other tabs."""
        if self.selected:
            self.chosen.emit(self.selected)

    def rename(self) -> None:
        """Ask for another name."""
        new, ok = QInputDialog.getText(self, "Rename", "New name:", text=self.selected)
        if ok and new != self.selected:
            self._try(lambda: self.store.rename(self.selected, new.strip()), new.strip())

    def note(self) -> None:
        """Ask for a note."""
        before = self.store.info(self.selected).note
        note, ok = QInputDialog.getMultiLineText(self, "Note", f"About {self.selected}:", before)
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
    """Return checkpoints in an order in which none comes before its parent."""
    known = {info.id for info in infos}
    left = list(infos)
    ordered: list[CheckpointInfo] = []
    while left:
        placed = {info.id for info in ordered}
        ready = [i for i in left if i.parent not in known or i.parent in placed]
        # In cards edited by hand, two could be each other's parents.
        ready = ready or left
        ordered += ready
        left = [info for info in left if info not in ready]
    return ordered


def dice(info: CheckpointInfo) -> str:
    """Return a checkpoint's Dice: held-out before and after fine-tuning, or the only one known."""
    scores = info.scores
    if "validation_dice" in scores and info.parent:
        return f"{scores['validation_dice_before']:.2f} → {scores['validation_dice']:.2f}"
    value = scores.get("test_dice", scores.get("validation_dice"))
    return "" if value is None else f"{value:.2f}"


def summary(info: CheckpointInfo) -> str:
    """Return a few lines about a checkpoint, its training and its note."""
    lines = [describe_checkpoint(info)]
    settings = info.settings
    if "frames" in settings:
        frames = f"Trained on {len(settings['frames'])} frames"
        steps = f"in {settings.get('steps_done', 0)} steps, {settings.get('seconds', 0):.0f} s"
        lines.append(f"{frames} {steps}, seed {settings.get('seed', 0)}.")
    if info.note:
        lines.append(info.note)
    return "\n".join(lines)
