"""The panel of checkpoints: their origin, scores and training curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QInputDialog,
    QMessageBox,
    QPushButton,
    QStyle,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...checkpoints import CheckpointInfo, CheckpointStore, parents_first, printable
from ...errors import SegliteError
from ..common import (
    JobRunner,
    StatusLabel,
    TrainingCurves,
    colours,
    describe_checkpoint,
    forms,
    plain_tip,
)
from .exchange import ask_export, ask_trust, exporting, importing
from .fetch_dialog import FetchDialog
from .published_dialog import FILTER, PublishedDialog
from .texts import dice, drawable, explain_columns, measured, summary

# Where an item of the tree keeps the name of its checkpoint, and the reason if it is damaged.
NAME, REASON = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1


class ModelsPanel(QWidget):
    """Lists checkpoints as a tree, each under the one it was fine-tuned from.

    Damaged ones are listed last, grey and with a warning; they can only be deleted.

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
        self._infos: dict[str, CheckpointInfo] = {}
        self._build()
        self.dialog: PublishedDialog | None = None
        self.fetch_dialog: FetchDialog | None = None
        self.runner = JobRunner(self, start_button=self.buttons["published"])
        self.refresh()

    def _build(self) -> None:
        self.tree = QTreeWidget()
        forms.show_columns(self.tree, "Checkpoint", "Dice", "Date")
        self.tree.setIndentation(14)
        explain_columns(self.tree)
        self.status = StatusLabel(lines=4)
        self.curve = TrainingCurves()
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        for number, (name, title, tip, act) in enumerate(
            (
                ("use", "Use", "Segment with it and fine-tune from it; or double click", self.use),
                (
                    "rename",
                    "Rename …",
                    "Checkpoints fine-tuned from it stay under it",
                    self.rename,
                ),
                (
                    "note",
                    "Note …",
                    "Write what it is good for, such as a stain",
                    self.note,
                ),
                (
                    "delete",
                    "Delete …",
                    "Checkpoints fine-tuned from it stay",
                    self.delete,
                ),
                (
                    "export",
                    "Export …",
                    "Write a file to open on another computer",
                    self.export,
                ),
                (
                    "import",
                    "Import …",
                    "Read a file that Export wrote",
                    self.add,
                ),
                (
                    "fetch",
                    "Fetch …",
                    "Fetch a checkpoint that is too large to come with SegLite",
                    self.fetch,
                ),
                (
                    "model",
                    "Export model …",
                    "Write it for other programs: ONNX, OpenVINO, torch.export, or a BioImage.IO "
                    "package for Fiji, QuPath and ilastik",
                    self.export_model,
                ),
                (
                    "foreign",
                    "Import model …",
                    "Read a model of another program: a BioImage.IO package or an ONNX file. It "
                    "segments, and light ones can be fine-tuned",
                    self.import_model,
                ),
                (
                    "published",
                    "Authors' weights …",
                    "Read weights that the authors of S-Net, M2SNet, UNet# or Res2Net-50 "
                    "published: a .pth, .pt or .safetensors file",
                    self.add_published,
                ),
            )
        ):
            button = self.buttons[name] = QPushButton(title)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, act=act: act())
            wide = 2 if name == "published" else 1
            grid.addWidget(button, number // 3, number % 3, 1, wide)
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
        return "" if item is None else str(item.data(0, NAME))

    @property
    def reason(self) -> str:
        """Why the selected checkpoint cannot be used, or an empty string."""
        item = self.tree.currentItem()
        return "" if item is None else str(item.data(0, REASON) or "")

    def refresh(self, select: str = "") -> None:
        """Read the checkpoints again."""
        wanted = select or self.selected
        self.tree.clear()
        found = self.store.scan()
        self._infos = {info.id: info for info in found.infos}
        items: dict[str, QTreeWidgetItem] = {}
        for info in parents_first(found.infos):
            above = items.get(info.parent or "")
            date = printable(info.created[5:10])
            item = items[info.id] = self._item(info.id, info.id, dice(info), date)
            note = f"\n{printable(info.note, lines=True)}" if info.note else ""
            item.setToolTip(0, plain_tip(f"{info.id}\n{describe_checkpoint(info)}{note}"))
            for column in (1, 2):
                item.setToolTip(column, plain_tip(measured(info)))
            if above is None:
                self.tree.addTopLevelItem(item)
            else:
                above.addChild(item)
        for name, reason in found.damaged.items():
            item = self._damaged_item(name, reason)
            items.setdefault(name, item)
            self.tree.addTopLevelItem(item)
        self.tree.expandAll()
        current = items.get(wanted) or next(iter(items.values()), None)
        if current is not None:
            self.tree.setCurrentItem(current)
        self._on_selected()

    def _item(self, name: str, *columns: str) -> QTreeWidgetItem:
        item = QTreeWidgetItem(list(columns))
        item.setData(0, NAME, name)
        return item

    def _damaged_item(self, name: str, reason: str) -> QTreeWidgetItem:
        item = self._item(name, printable(name), "damaged", "")
        item.setData(0, REASON, reason)
        item.setToolTip(0, plain_tip(printable(reason, longest=1000)))
        for column in range(3):
            colours.tint_item(item, column, "hint")
        style = self.style()
        if style is not None:
            item.setIcon(0, style.standardIcon(QStyle.StandardPixmap.SP_MessageBoxWarning))
        return item

    def _on_selected(self, *_: Any) -> None:
        name, reason = self.selected, self.reason
        info = None if reason else self._infos.get(name)
        own = info is not None and not self.store.is_built_in(name)
        for button in ("rename", "note"):
            self.buttons[button].setEnabled(own)
        for button in ("use", "export", "model"):
            self.buttons[button].setEnabled(info is not None)
        self.buttons["delete"].setEnabled(own or bool(reason))
        self.curve.clear()
        if reason:
            self.say(printable(reason, longest=1000), error=True)
        elif info is None:
            self.say("Fine-tuned checkpoints are listed under the one they started from.")
        else:
            self.say(summary(info))
            self.curve.show_curves(drawable(info.curves))

    def say(self, text: str, error: bool = False) -> None:
        """Show a sentence under the buttons, errors in red."""
        self.status.say(text, error)

    # ------------------------------------------------------------------ the buttons
    def use(self) -> None:
        """Select this checkpoint in the other tabs."""
        if self.selected and not self.reason:
            self.chosen.emit(self.selected)

    def rename(self) -> None:
        """Ask for another name."""
        new, ok = QInputDialog.getText(self, "Rename", "New name:", text=self.selected)
        if ok and new != self.selected:
            self._try(lambda: self.store.rename(self.selected, new.strip()), new.strip())

    def note(self) -> None:
        """Ask for a note."""
        before = self._infos[self.selected].note
        note, ok = QInputDialog.getMultiLineText(self, "Note", f"About {self.selected}:", before)
        if ok:
            self._try(lambda: self.store.annotate(self.selected, note.strip()), self.selected)

    def delete(self) -> None:
        """Delete the selected checkpoint, after asking."""
        question = f"Delete {printable(self.selected)}? This cannot be undone."
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

    def export_model(self) -> None:
        """Write the selected checkpoint for other programs, in the background."""
        if (choice := ask_export(self, self.selected, self.store)) is not None:
            self._run(exporting(self.store, self.selected, choice), self.say)

    def import_model(self) -> None:
        """Read a model of another program, in the background."""
        path, _ = QFileDialog.getOpenFileName(
            self, "Import model", "", "Models (*.zip *.onnx);;All files (*)"
        )
        if path:
            self._import_model(Path(path), trust_code=False)

    def _import_model(self, path: Path, trust_code: bool) -> None:
        code: list[str] = []

        def imported(found: CheckpointInfo | str) -> None:
            if isinstance(found, str):  # code that would have to be run
                code.append(found)
            else:
                self._on_imported(found)

        def ended() -> None:
            if code and ask_trust(self, code[0]):
                self._import_model(path, trust_code=True)
            elif code:
                self.say("Nothing was run, and nothing was imported.")

        self._run(importing(self.store, path, trust_code), imported, ended)

    def _run(self, work: Any, succeeded: Any, ended: Any = lambda: None) -> None:
        """Work in the background, one job at a time, and report on it under the buttons."""
        if self.runner.busy:
            self.say("Another file is still being read or written.", error=True)
            return
        self.runner.start(
            work,
            progressed=self.say,
            succeeded=succeeded,
            failed=lambda text: self.say(text, error=True),
            ended=ended,
        )

    def fetch(self) -> None:
        """Open the window in which checkpoints of a release are fetched."""
        if self.fetch_dialog is None:
            self.fetch_dialog = FetchDialog(self.store, self)
            self.fetch_dialog.fetched.connect(self._on_imported)
        self.fetch_dialog.open_list()

    def add_published(self) -> None:
        """Read weights that the authors of a network published, in the background."""
        path, _ = QFileDialog.getOpenFileName(self, "Authors' weights", "", FILTER)
        if not path:
            return
        dialog = self.dialog = PublishedDialog(self.store, Path(path), self)
        dialog.accepted.connect(lambda: self._import(dialog))
        dialog.finished.connect(self._on_dialog_closed)
        dialog.open()

    def _on_dialog_closed(self) -> None:
        if self.dialog is not None:
            self.dialog.deleteLater()
            self.dialog = None

    def _import(self, dialog: PublishedDialog) -> None:
        self._run(dialog.work(), self._on_imported)

    def _on_imported(self, info: CheckpointInfo) -> None:
        self.refresh(info.id)
        self.changed.emit()

    def _try(self, act: Any, select: str = "") -> None:
        try:
            act()
        except (SegliteError, OSError) as error:
            self.say(str(error), error=True)
            return
        self.refresh(select)
        self.changed.emit()
