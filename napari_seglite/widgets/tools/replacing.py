"""The question before labels in files are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from qtpy.QtWidgets import QMessageBox, QPushButton, QWidget

Answer = Literal["replace", "skip", "cancel"]


def ask_to_replace(parent: QWidget, existing: Sequence[Path], total: int) -> Answer:
    """Ask whether labels that are there already are replaced.

    Parameters
    ----------
    parent : QWidget
        The panel that asks.
    existing : sequence of Path
        Files with labels, at least one.
    total : int
        Number of all files of the batch.
    """
    count = len(existing)
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("SegLite")
    have = "has labels" if count == 1 else "have labels"
    box.setText(f"{count} of {total} images {have} already, which may have been corrected by hand.")
    names = "\n".join(str(path) for path in existing[:8])
    box.setInformativeText(names + (f"\n… and {count - 8} more" if count > 8 else ""))
    roles = QMessageBox.ButtonRole
    replace = _choice(
        box, "Replace", roles.DestructiveRole, "Segment all files and write over those labels"
    )
    skip = _choice(
        box, "Skip those", roles.AcceptRole, "Keep those labels and segment the other files"
    )
    cancel = _choice(box, "Cancel", roles.RejectRole, "Segment nothing")
    box.setDefaultButton(skip)
    box.setEscapeButton(cancel)
    box.exec()
    if box.clickedButton() is replace:
        return "replace"
    return "skip" if box.clickedButton() is skip else "cancel"


def _choice(box: QMessageBox, text: str, role: QMessageBox.ButtonRole, tip: str) -> QPushButton:
    button = box.addButton(text, role)
    assert button is not None
    button.setToolTip(tip)
    return button
