"""A table of numbers with buttons that copy and save it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFileDialog,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...formats import replacing
from .forms import side_by_side

if TYPE_CHECKING:
    import pandas as pd

# Rows on the screen; all are copied and saved. A widget per cell takes time.
LARGEST = 500


class ScoreTable(QWidget):
    """Shows a table of numbers whose index names the rows.

    Parameters
    ----------
    file_name : str
        Suggested when the table is saved.

    Signals
    -------
    said(str, bool)
        A sentence for the user, and whether it tells of a failure.
    """

    said = Signal(str, bool)

    def __init__(self, file_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._file_name = file_name
        self.frame: pd.DataFrame | None = None
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.copy_button, self.save_button = QPushButton("Copy table"), QPushButton("Save as CSV …")
        self.copy_button.clicked.connect(self.copy)
        self.save_button.clicked.connect(self._ask_and_save)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table, 1)
        column.addLayout(side_by_side(self.copy_button, self.save_button))
        self.show_frame(None)

    def show_frame(
        self, frame: pd.DataFrame | None, titles: dict[str, str] | None = None, digits: int = 3
    ) -> None:
        """Show a table, or clear it.

        Parameters
        ----------
        frame : DataFrame or None
            Numbers only.
        titles : dict, optional
            Titles on the screen by column.
        digits : int
            Digits after the decimal point.
        """
        self.frame = frame
        for button in (self.copy_button, self.save_button):
            button.setEnabled(frame is not None)
        self.table.clear()
        self.table.setRowCount(0)
        if frame is None:
            return
        table = frame.head(LARGEST).rename(columns=titles or {})
        if len(frame) == 1:  # a single row is easier to read as a column
            table = table.T
        self.table.setRowCount(table.shape[0])
        self.table.setColumnCount(table.shape[1])
        self.table.setVerticalHeaderLabels(list(map(str, table.index)))
        self.table.setHorizontalHeaderLabels(list(map(str, table.columns)))
        for (i, j), value in np.ndenumerate(table.to_numpy(dtype=object)):
            item = QTableWidgetItem(_text(value, digits))
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.table.setItem(i, j, item)
        self.table.resizeColumnsToContents()

    def copy(self) -> None:
        """Copy the table, tab-separated for spreadsheets, to the clipboard."""
        clipboard = QApplication.clipboard()
        if self.frame is not None and clipboard is not None:
            clipboard.setText(self.frame.to_csv(sep="\t"))
            self.said.emit("Copied.", False)

    def _ask_and_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the table", self._file_name, "CSV (*.csv)"
        )
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Write the table as CSV."""
        if self.frame is None:
            return
        try:
            with replacing(path) as scratch:
                self.frame.to_csv(scratch)
        except OSError as error:
            self.said.emit(f"{path} cannot be written: {error.strerror}.", True)
            return
        self.said.emit(f"Saved {path.name}.", False)


def _text(value: Any, digits: int) -> str:
    if isinstance(value, int | np.integer):
        return str(value)
    return "–" if np.isnan(value) else f"{value:.{digits}f}"
