"""The list of files to segment: drop files on it, remove them with Delete, see which are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QDropEvent, QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem

from ...labels import worst

DONE, FAILED, SKIPPED = "✓ ", "✗ ", "– "
_FILE, _RESULT, _MARK, _QUALITY = (Qt.ItemDataRole.UserRole + k for k in range(4))


class FileList(QListWidget):
    """Images, each once, with what became of them.

    Signals
    -------
    dropped(object)
        Files and folders that the user dropped, a list of Path.
    edited()
        Files were added or removed.
    """

    dropped = Signal(object)
    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.locked = False
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DropOnly)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setToolTip(
            "The images to segment. Drop files or folders here; Delete removes those that are "
            "selected. Double-click a file with a tick to open the image with its labels; hover "
            "over one with a cross to see why it failed. The number is the Dice to expect, 0 to 1, "
            "from the probabilities: look at the lowest first."
        )

    # ------------------------------------------------------------------ content
    @property
    def files(self) -> list[Path]:
        """The files, from the top."""
        return [self._item(row).data(_FILE) for row in range(self.count())]

    def add(self, files: Iterable[Path]) -> None:
        """Append files that are not in the list yet."""
        present = set(self.files)
        for path in dict.fromkeys(files):
            if path not in present:
                item = QListWidgetItem()
                item.setData(_FILE, path)
                self.addItem(item)
                self._mark(item, "", str(path))
        self._name()
        self.edited.emit()

    def remove_selected(self) -> None:
        """Take the selected files out of the list; nothing happens on disk."""
        for item in self.selectedItems():
            self.takeItem(self.row(item))
        self._name()
        self.edited.emit()

    def forget_results(self) -> None:
        """Forget what became of the files."""
        for row in range(self.count()):
            item = self._item(row)
            item.setData(_RESULT, None)
            item.setData(_QUALITY, None)
            self._mark(item, "", str(item.data(_FILE)))
        self._name()

    def finish(
        self,
        row: int,
        mark: str,
        tip: str,
        result: Path | None = None,
        quality: float | None = None,
    ) -> None:
        """Show what became of a file.

        Parameters
        ----------
        row : int
            Of the file.
        mark : str
            `DONE`, `FAILED` or `SKIPPED`.
        tip : str
            Shown under the pointer.
        result : Path, optional
            Its labels.
        quality : float, optional
            The Dice to expect of them.
        """
        item = self._item(row)
        item.setData(_QUALITY, quality)
        item.setData(_RESULT, result)
        self._mark(item, mark, tip)
        self._name()

    def results(self, rows: Iterable[int]) -> list[tuple[Path, Path]]:
        """Return the image and labels of those rows that have labels."""
        items = map(self._item, rows)
        return [(i.data(_FILE), i.data(_RESULT)) for i in items if i.data(_RESULT) is not None]

    def worst(self) -> list[str]:
        """Return the texts of the tenth whose quality is expected to be worst."""
        known = {
            row: quality
            for row in range(self.count())
            if (quality := self._item(row).data(_QUALITY)) is not None
        }
        return [self._item(row).text().removeprefix(DONE) for row in worst(known)]

    def _item(self, row: int) -> QListWidgetItem:
        return cast("QListWidgetItem", self.item(row))

    def _mark(self, item: QListWidgetItem, mark: str, tip: str) -> None:
        item.setData(_MARK, mark)
        item.setToolTip(tip)

    def _name(self) -> None:
        """Write the names, with the folder where two files have the same one."""
        files = self.files
        known = Counter(path.name for path in files)
        for row, path in enumerate(files):
            name = path.name if known[path.name] == 1 else f"{path.parent.name}/{path.name}"
            item = self._item(row)
            quality = item.data(_QUALITY)
            item.setText(
                item.data(_MARK) + name + ("" if quality is None else f"  ({quality:.2f})")
            )

    # ------------------------------------------------------------------ what the user does
    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Remove the selected files with Delete or Backspace."""
        if event is not None and event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            if not self.locked:
                self.remove_selected()
            event.accept()
        else:
            super().keyPressEvent(event)

    def dragEnterEvent(self, event: Any) -> None:
        """Take files and folders."""
        self._take(event)

    def dragMoveEvent(self, event: Any) -> None:
        """Take files and folders."""
        self._take(event)

    def _take(self, event: Any) -> None:
        if _local(event) and not self.locked:
            event.acceptProposedAction()
        else:
            event.ignore()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Announce the files and folders."""
        if event is not None and (paths := _local(event)) and not self.locked:
            event.acceptProposedAction()
            self.dropped.emit(paths)


def _local(event: Any) -> list[Path]:
    urls = event.mimeData().urls()
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
